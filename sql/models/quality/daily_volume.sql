-- One row per source, entity and day on the shop's clock: how many rows it has in clean, and how many were delivered
-- (of events also those that came again).
with orders as {{ inlined() }} (

    select order_id, _source, cast({{ local_time('ordered_at') }} as date) as day
    from {{ ref('orders') }}

),

-- Events are many: to the shop's clock by the minute.
event_minutes as (

    select _source, cast(date_trunc('minute', event_at) as timestamp) as minute, count(*) as clean_rows, 0 as delivered_rows
    from {{ ref('events') }}
    group by _source, cast(date_trunc('minute', event_at) as timestamp)
    union all
    select _source, cast(date_trunc('minute', event_at) as timestamp) as minute, 0 as clean_rows, count(*) as delivered_rows
    from {{ source('stage', 'events') }}
    where _reject_rule is null
    group by _source, cast(date_trunc('minute', event_at) as timestamp)

),

counted as (

    select _source, {{ label("'orders'") }} as entity, day, count(*) as clean_rows, count(*) as delivered_rows
    from orders
    group by _source, day
    union all
    select items._source, {{ label("'order_items'") }} as entity, orders.day, count(*) as clean_rows, count(*) as delivered_rows
    from {{ ref('order_items') }} as items
    inner join orders on orders.order_id = items.order_id
    group by items._source, orders.day
    union all
    select
        _source, {{ label("'events'") }} as entity, cast({{ local_time('minute') }} as date) as day,
        sum(clean_rows) as clean_rows, sum(delivered_rows) as delivered_rows
    from event_minutes
    group by _source, cast({{ local_time('minute') }} as date)

)

select
    _source as source,
    entity,
    day,
    cast(clean_rows as bigint) as rows,
    cast(delivered_rows as bigint) as delivered_rows
from counted
where clean_rows > 0
