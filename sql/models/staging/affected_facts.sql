-- One row per order whose facts an increment recomputes: the order itself, its customer or a product on it changed.
with affected_orders as (

    select order_id
    from {{ ref('affected_orders') }}

),

changed as (

    select entity, customer_id, product_id
    from {{ source('ops', 'changed_keys') }}

),

-- Also lines that are replaced now.
lines as (

    select customer_id, product_id
    from {{ source('stage', 'order_lines') }}
    where order_id in (select order_id from affected_orders)
    union all
    select customer_id, product_id
    from changed
    where entity = 'order_lines'

),

-- Customers and products that no source delivers are known from order lines.
customers as (

    select customer_id
    from changed
    where entity = 'customers' and customer_id is not null
    union
    select lines.customer_id
    from lines
    left join {{ ref('customers') }} as delivered
        on delivered.customer_id = lines.customer_id and delivered._entity = 'customers'
    where lines.customer_id is not null and delivered.customer_id is null

),

products as (

    select product_id
    from changed
    where entity = 'products' and product_id is not null
    union
    select lines.product_id
    from lines
    left join {{ ref('products') }} as delivered
        on delivered.product_id = lines.product_id and delivered._entity = 'products'
    where lines.product_id is not null and delivered.product_id is null

)

select order_id from affected_orders
union
select order_id from {{ ref('orders') }} where customer_id in (select customer_id from customers)
union
select order_id from {{ ref('order_items') }} where product_id in (select product_id from products)
