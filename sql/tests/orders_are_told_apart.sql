{{ config(severity='warn', meta={
    'dimension': 'consistency', 'weight': 0.3, 'table': 'clean.orders', 'finding': true, 'field': 'order_id',
    'description': 'the id of orders tells them apart: no order holds most of the lines',
    'tested': 'select count(*) from (select source from warehouse.fact_orders group by source having sum(line_count) >= 50) as sources'}) }}
with orders as (

    select source, count(*) as orders, sum(line_count) as lines, max(line_count) as most_lines
    from {{ ref('fact_orders') }}
    group by source

),

largest as (

    select orders.source, min(facts.order_id) as order_id
    from orders
    inner join {{ ref('fact_orders') }} as facts on facts.source = orders.source and facts.line_count = orders.most_lines
    group by orders.source

)

select
    orders.source, largest.order_id, orders.orders, orders.lines, orders.most_lines,
    'order ' || largest.order_id || ' of ' || orders.source || ' holds ' || cast(orders.most_lines as varchar) || ' of '
    || cast(cast(orders.lines as bigint) as varchar) || ' lines: does `order_id` in `columns` name the column of the order?' as finding
from orders
inner join largest on largest.source = orders.source
where orders.lines >= 50 and orders.most_lines * 2 > orders.lines
