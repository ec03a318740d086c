{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'refuses': true, 'finding': true, 'field': 'line_total',
    'description': "amounts of lines are the line's own, and not those of their whole order",
    'tested': 'select count(*) from (select distinct _source from clean.order_items) as sources'}) }}
-- The same amount on all lines of nearly all orders with different lines is the order's where prices say so: what the
-- lines come to by quantity and price is that amount, or products would cost half as much again from order to order. In a
-- shop where all costs the same, or all seats of an order, products keep their price.
with lines as (

    select
        _source as source, order_id, product_id, quantity, coalesce(line_total, line_amount, unit_price) as stated,
        {{ share('coalesce(line_total, line_amount, unit_price)', 'case when line_total is null and line_amount is null then 1 else quantity end') }} as price,
        cast(quantity as double precision) * cast(unit_price as double precision) as amount,
        line_total is not null or line_amount is not null as is_whole
    from {{ ref('order_items') }}
    where quantity > 0 and coalesce(line_total, line_amount, unit_price) > 0

),

orders as (

    select
        source, order_id, min(stated) as least, max(stated) as most,
        abs(sum(amount) - cast(max(stated) as double precision)) < 0.005 * (1 + count(*)) as is_sum
    from lines
    group by source, order_id
    having min(product_id) < max(product_id) or (bool_and(is_whole) and min(quantity) < max(quantity))

),

counted as (

    select
        source, count(*) as orders, count(*) filter (where least = most) as alike,
        count(*) filter (where least = most and is_sum) as sums,
        count(distinct case when least = most then least end) as amounts, min(case when least = most then order_id end) as order_id
    from orders
    group by source
    having count(*) >= 2 and count(*) filter (where least = most) * 10 >= count(*) * 9

),

products as (

    select source, product_id, min(price) as least, max(price) as most
    from lines
    where source in (select source from counted)
    group by source, product_id
    having count(distinct order_id) > 1

),

spread as (

    select source, count(*) as products, count(*) filter (where most > 1.5 * least) as varying
    from products
    group by source

)

select
    counted.source, counted.order_id, counted.orders, counted.alike,
    'all lines of an order of ' || counted.source || ' have one and the same amount (such as order ' || counted.order_id
    || '): it is that of the whole order, so map that column as `total_amount` and not as an amount or price of lines' as finding
from counted
left join spread on spread.source = counted.source
where (counted.amounts >= 3 or counted.amounts = counted.orders)
    and (counted.sums * 10 >= counted.orders * 9 or spread.varying * 2 >= spread.products)
