-- One row per source: what the warehouse holds of it, to be held against what the source states. Orders, lines and amounts
-- are those of the facts; customers those that the source delivers or its orders name; the days those of its orders, or of
-- its events where it has no order.
with sources as (

    select distinct source from ops.batches

),

orders as (

    select source, count(*) as orders, min(order_date) as first_day, max(order_date) as last_day
    from warehouse.fact_orders
    group by source

),

lines as (

    select
        source, count(*) filter (where amount_basis not in ('order total', 'payments')) as lines,
        sum(gross_amount) as gross_amount, sum(net_amount) as net_amount
    from warehouse.fact_order_items
    group by source

),

customer_ids as (

    select _source as source, customer_id from clean.customers
    union
    select _source, customer_id from stage.customers where _reject_rule is null
    union
    select _source, customer_id from clean.orders where customer_id is not null

),

customers as (

    select source, count(*) as customers
    from customer_ids
    group by source

),

payments as (

    select clean._source as source, count(*) as payments, sum(facts.paid_amount) as paid_amount
    from warehouse.fact_payments as facts
    inner join clean.payments as clean on clean.payment_id = facts.payment_id
    group by clean._source

),

events as (

    select source, min(day) as first_day, max(day) as last_day
    from quality.daily_volume
    where entity = 'events'
    group by source

)

select
    sources.source,
    coalesce(orders.orders, 0) as orders,
    coalesce(lines.lines, 0) as lines,
    coalesce(customers.customers, 0) as customers,
    coalesce(payments.payments, 0) as payments,
    coalesce(lines.gross_amount, 0) as gross_amount,
    coalesce(lines.net_amount, 0) as net_amount,
    coalesce(payments.paid_amount, 0) as paid_amount,
    coalesce(orders.first_day, events.first_day) as first_day,
    coalesce(orders.last_day, events.last_day) as last_day
from sources
left join orders on orders.source = sources.source
left join lines on lines.source = sources.source
left join customers on customers.source = sources.source
left join payments on payments.source = sources.source
left join events on events.source = sources.source
order by sources.source
