{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'refuses': true, 'finding': true, 'field': 'discount_amount',
    'description': "discounts of lines are the line's own, and not those of their whole order",
    'tested': 'select count(*) from (select distinct _source from clean.order_items where discount_amount <> 0) as sources'}) }}
-- On lines that are not worth the same, one amount off each is the order's, repeated. Whole numbers are more likely percents
-- (discounts_are_no_percents), and one amount on all lines of all orders a deposit or the like.
with orders as (

    select _source as source, order_id, min(discount_amount) as least, max(discount_amount) as most, count(discount_amount) = count(*) as is_on_all
    from {{ ref('order_items') }}
    where amount > 0 and discount_rate is null
    group by _source, order_id
    having min(amount) < max(amount) and max(discount_amount) > 0

),

counted as (

    select
        source, count(*) as orders, min(case when least = most then order_id end) as order_id,
        count(distinct most) as discounts, bool_and(most = 5 * floor(most * 0.2)) as is_round
    from orders
    group by source
    having count(*) >= 2 and count(*) filter (where least = most and is_on_all) * 10 >= count(*) * 9

)

select
    source, order_id, orders,
    'all lines of an order of ' || source || ' have one and the same discount (such as order ' || order_id || '): it is that of the'
    || ' whole order, so map that column as `order_discount_amount` and not as `discount_amount`' as finding
from counted
where not is_round and (discounts >= 3 or discounts = orders)
