-- One row per cell that rules repaired: what the last of them made of it. Set rules come after row rules.
with repaired as (

    select
        reported.source, reported.entity, reported.key, reported.field, reported.after, faults.level = 'set' as is_last,
        coalesce(
            case columns.type
                when 'number' then cast(try_cast(reported.after as decimal(38, 6)) as varchar)
                when 'time' then cast(try_cast(reported.after as timestamptz) as varchar)
            end,
            reported.after
        ) as value
    from reported
    join faults using (rule)
    left join columns on columns.entity = reported.entity and columns.field = reported.field
    where reported.outcome = 'repaired'

)

select
    source, entity, key, field,
    coalesce(min(after) filter (where is_last), min(after)) as repaired_to,
    coalesce(list(distinct value) filter (where is_last), list(distinct value)) as values
from repaired
group by source, entity, key, field
