-- One row per rule, outcome, source and entity: how many cells or rows were repaired, emptied, merged or quarantined, with
-- one example. Of cells it is the shortest with a value before and after, so that both fit into a line; of a row in
-- quarantine `before` is the reason why it waits.
with found as (

    select
        rule, outcome, source, entity, field, key, before, after,
        count(*) over (partition by rule, outcome, source, entity) as found,
        row_number() over (
            partition by rule, outcome, source, entity
            order by case when before is null then 2 when after is null then 1 else 0 end, length(before), before, key
        ) as place
    from quality.record_findings
    where outcome in ('repaired', 'emptied', 'merged')

),

quarantined as (

    select 'customers' as entity, _rule as rule, _source as source, _reason as reason from quarantine.customers
    union all
    select 'products', _rule, _source, _reason from quarantine.products
    union all
    select 'orders', _rule, _source, _reason from quarantine.orders
    union all
    select 'order_items', _rule, _source, _reason from quarantine.order_items
    union all
    select 'payments', _rule, _source, _reason from quarantine.payments
    union all
    select 'events', _rule, _source, _reason from quarantine.events
    union all
    select 'order_lines', _rule, _source, _reason from quarantine.order_lines

)

select rule, outcome, source, entity, found, field, key, before, after
from found
where place = 1
union all
select
    rule, 'quarantined' as outcome, source, entity, count(*) as found, null as field, null as key, min(reason) as before,
    null as after
from quarantined
group by rule, source, entity
order by found desc nulls last, rule, outcome, source, entity
