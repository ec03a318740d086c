{{ config(severity='warn', meta={
    'dimension': 'validity', 'weight': 0.1, 'table': 'clean.orders', 'finding': true, 'field': 'column_name',
    'description': 'customers and products have ids of their own, and not those of orders or one for all',
    'tested': 'select count(*) from (select distinct _source from clean.orders) as sources'}) }}
with customers as (

    select
        _source, count(*) as rows, count(*) filter (where customer_id = order_id) as equal_ids,
        min(customer_id) as first_id, max(customer_id) as last_id
    from {{ ref('orders') }}
    where customer_id is not null
    group by _source

),

products as (

    select
        _source, count(*) as rows, count(*) filter (where product_id = order_id) as equal_ids
    from {{ ref('order_items') }}
    group by _source

)

select
    _source as source, 'customer_id' as column_name,
    'customers of ' || _source || case when first_id = last_id then ' are all ' || first_id else ' have the ids of their orders' end
    || ': does `customer_id` in `columns` name the column of the customer?' as finding
from customers
where (rows >= 5 and equal_ids * 10 > rows * 9) or (rows >= 50 and first_id = last_id)
union all
select
    _source, 'product_id',
    'products of ' || _source || ' have the ids of orders: does `product_id` in `columns` name the column of the article?'
from products
where rows >= 5 and equal_ids * 10 > rows * 9
