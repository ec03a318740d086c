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

-- Order items make a product known that no source delivers only by naming it; where none delivers products, all are known.
items as (

    select product_id
    from {{ source('stage', 'order_items') }}
    where product_name is not null and order_id in (select order_id from affected_orders)
        and exists (select 1 from {{ source('stage', 'products') }})
    union all
    select product_id
    from changed
    where entity = 'order_items' and exists (select 1 from {{ source('stage', 'products') }})

),

-- Customers and products that no source delivers are known from order lines, and products from the names of order items.
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
    select naming.product_id
    from (select product_id from lines union all select product_id from items) as naming
    left join {{ ref('products') }} as delivered
        on delivered.product_id = naming.product_id and delivered._entity = 'products'
    where naming.product_id is not null and delivered.product_id is null

)

select order_id from affected_orders
union
select order_id from {{ ref('orders') }} where customer_id in (select customer_id from customers)
union
select order_id from {{ ref('order_items') }} where product_id in (select product_id from products)
