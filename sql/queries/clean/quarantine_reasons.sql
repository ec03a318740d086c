-- One row per source, entity and rule: how many rows wait in quarantine, with one of the reasons.
with quarantined as (

    select _source as source, 'customers' as entity, _rule as rule, _reason as reason from quarantine.customers
    union all
    select _source, 'products', _rule, _reason from quarantine.products
    union all
    select _source, 'orders', _rule, _reason from quarantine.orders
    union all
    select _source, 'order_items', _rule, _reason from quarantine.order_items
    union all
    select _source, 'payments', _rule, _reason from quarantine.payments
    union all
    select _source, 'events', _rule, _reason from quarantine.events
    union all
    select _source, 'order_lines', _rule, _reason from quarantine.order_lines

)

select source, entity, rule, count(*) as rows, min(reason) as example
from quarantined
group by source, entity, rule
order by rows desc nulls last, source, entity, rule
