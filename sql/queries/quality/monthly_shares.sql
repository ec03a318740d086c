-- One row per measure, month, source and value: payments by method, orders by channel, lines sold by category, sessions by
-- device. The months are those that the measure's days cover whole.
with daily as (

    select
        'method' as measure, 'payments' as entity, cast(paid_at as date) as day, _source as source, method as value,
        count(*) as rows
    from clean.payments
    where paid_at is not null
    group by cast(paid_at as date), _source, method
    union all
    select 'channel' as measure, 'orders' as entity, order_date as day, source, channel as value, count(*) as rows
    from warehouse.fact_orders
    group by order_date, source, channel
    union all
    select
        'category' as measure, 'order_items' as entity, items.order_date as day, items.source,
        products.category as value, count(*) as rows
    from warehouse.fact_order_items as items
    inner join warehouse.dim_products as products on products.product_key = items.product_key
    where items.line_type = 'sale'
    group by items.order_date, items.source, products.category
    union all
    select
        'device' as measure, 'sessions' as entity, session_date as day, '' as source, device as value,
        sum(sessions) as rows
    from analytics.daily_sessions
    group by session_date, device

),

spans as (
    select measure, min(day) as first_day, max(day) as last_day from daily group by measure
),

monthly as (

    select
        measure, entity, cast(date_trunc('month', day) as date) as month, source, coalesce(value, 'none') as value,
        cast(sum(rows) as bigint) as rows
    from daily
    group by measure, entity, cast(date_trunc('month', day) as date), source, coalesce(value, 'none')

)

select monthly.measure, monthly.entity, monthly.month, monthly.source, monthly.value, monthly.rows
from monthly
inner join spans on spans.measure = monthly.measure
where monthly.month >= spans.first_day
    and cast(monthly.month + interval '1 month' as date) <= cast(spans.last_day + interval '1 day' as date)
order by monthly.measure, monthly.month, monthly.source, monthly.value
