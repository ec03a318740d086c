{{ config(severity='warn', meta={
    'dimension': 'uniqueness', 'table': 'warehouse.fact_orders', 'refuses': true, 'finding': true, 'field': 'order_id',
    'description': 'no source delivers the orders of another under other ids',
    'tested': 'select case when count(*) > 1 then count(*) else 0 end from (select distinct source from warehouse.fact_orders) as sources'}) }}
-- Of one customer, at one time, over one amount. Customers without an id are told apart by the time of day alone.
with orders as (

    select source, order_id, ordered_at, customer_id, coalesce(total_amount, gross_amount - discount_amount) as amount
    from {{ ref('fact_orders') }}
    where (select count(distinct source) from {{ ref('fact_orders') }}) > 1
        and coalesce(total_amount, gross_amount - discount_amount) > 0
        and (customer_id <> 'unknown' or ordered_at <> cast(order_date as timestamp))

),

shared as (

    select ordered_at, customer_id, amount, min(source) as one, max(source) as other
    from orders
    group by ordered_at, customer_id, amount
    having min(source) < max(source)

),

counted as (

    select source, count(*) as orders
    from orders
    group by source

),

pairs as (

    select one, other, count(*) as orders
    from shared
    group by one, other

)

select
    pairs.one as source, pairs.other, pairs.orders,
    'most orders of ' || pairs.one || ' and ' || pairs.other || ' are the same, of one customer, at one time, over one amount ('
    || cast(pairs.orders as varchar) || '), under other ids: they count twice. Make their ids alike by `id_prefixes` or `sql` in'
    || ' `columns`, or leave one of the two out' as finding
from pairs
inner join counted as first_source on first_source.source = pairs.one
inner join counted as second_source on second_source.source = pairs.other
where pairs.orders >= 5 and pairs.orders * 2 > least(first_source.orders, second_source.orders)
