{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'refuses': true, 'finding': true, 'field': 'order_id',
    'description': 'orders that are stated anew keep their lines, but for at most 1 % of the revenue',
    'tested': 'select count(*) from (select distinct _source from clean.order_items) as sources'}) }}
with dropped as (

    select
        source, count(distinct order_id) as orders, min(order_id) as order_id, sum(amount) as amount,
        count(*) - count(amount) as unread
    from {{ ref('dropped_lines') }}
    group by source

),

revenue as (

    select source, sum(net_amount) as net_amount
    from {{ ref('fact_orders') }}
    group by source

),

example as (

    select dropped.source, min(lines.source_file) as source_file, min(lines.counted_file) as counted_file
    from dropped
    inner join {{ ref('dropped_lines') }} as lines on lines.source = dropped.source and lines.order_id = dropped.order_id
    group by dropped.source

)

select
    dropped.source, dropped.order_id, dropped.orders, dropped.amount,
    'a newer file states ' || cast(dropped.orders as varchar) || ' orders of ' || dropped.source || ' without lines of older ones, worth '
    || coalesce(cast(cast(dropped.amount as decimal(18, 2)) as varchar), 'an unknown amount') || ', which then do not count, and no total of'
    || ' the orders says which is right (order ' || dropped.order_id || ' in ' || example.source_file || ' and ' || example.counted_file
    || ', for one): where files hold pieces of orders, `mode: append`; where one holds what came back, map `is_return`' as finding
from dropped
inner join example on example.source = dropped.source
left join revenue on revenue.source = dropped.source
where coalesce(dropped.amount > 0.01 * abs(coalesce(revenue.net_amount, 0)), false)
    or (dropped.unread > 0 and dropped.amount is null)
