-- One row per order whose facts an increment recomputes: touched itself, or its customer or a product on it is.
with lines as (

    select customer_id, product_id
    from {{ source('stage', 'order_lines') }}
    where {{ unless_whole() }} and {{ is_in('order_id', ref('touched_orders'), 'order_id') }}

),

-- Those of order lines, since lines tell of customers and products too: also of lines that are replaced now.
customers as (

    select customer_id
    from {{ source('ops', 'touched') }}
    where entity in ('customers', 'order_lines') and customer_id is not null and {{ unless_whole() }}
    union
    select customer_id from lines where customer_id is not null

),

products as (

    select product_id
    from {{ source('ops', 'touched') }}
    where entity in ('products', 'order_lines') and product_id is not null and {{ unless_whole() }}
    union
    select product_id from lines where product_id is not null

)

select order_id from {{ ref('touched_orders') }}
union
select order_id from {{ ref('orders') }} where {{ is_in('customer_id', 'customers', 'customer_id') }}
union
select order_id from {{ ref('order_items') }} where {{ is_in('product_id', 'products', 'product_id') }}
