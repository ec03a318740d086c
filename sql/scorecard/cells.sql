-- One row per cell that was spoiled. `value_before` is what stood there, written so that equal values are equal texts.
select
    ledger.system, coalesce(ledger.entity, '') as entity, ledger.key, ledger.kind, ledger.label,
    coalesce(families.entity_group, '') as entity_group, ledger.family, ledger.field, ledger.before, ledger.after,
    coalesce(
        case columns.type
            when 'number' then cast(try_cast(ledger.before as decimal(38, 6)) as varchar)
            when 'time' then cast(try_cast(ledger.before as timestamptz) as varchar)
        end,
        ledger.before
    ) as value_before
from ledger
left join families using (entity)
left join columns on columns.entity = ledger.entity and columns.field = ledger.field
