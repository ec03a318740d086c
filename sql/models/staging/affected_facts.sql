-- One row per order whose facts an increment recomputes: the order itself, its customer or a product on it changed.
with lines as (

    select customer_id, product_id
    from {{ source('stage', 'order_lines') }}
    where {{ unless_whole() }} and {{ is_in('order_id', ref('affected_orders'), 'order_id') }}
    union all
    -- Also lines that are replaced now.
    select customer_id, product_id
    from {{ source('ops', 'changed_keys') }}
    where {{ unless_whole() }} and entity = 'order_lines'

),

-- Order lines tell of the customers and products that no source delivers.
customers as (

    select customer_id
    from {{ source('ops', 'changed_keys') }}
    where entity = 'customers' and customer_id is not null and {{ unless_whole() }}
    union
    select lines.customer_id
    from lines
    left join {{ ref('customers') }} as delivered
        on delivered.customer_id = lines.customer_id and delivered._entity = 'customers'
    where lines.customer_id is not null and delivered.customer_id is null

),

products as (

    select product_id
    from {{ source('ops', 'changed_keys') }}
    where entity = 'products' and product_id is not null and {{ unless_whole() }}
    union
    select lines.product_id
    from lines
    left join {{ ref('products') }} as delivered
        on delivered.product_id = lines.product_id and delivered._entity = 'products'
    where lines.product_id is not null and delivered.product_id is null

)

select order_id from {{ ref('affected_orders') }}
union
select order_id from {{ ref('orders') }} where {{ is_in('customer_id', 'customers', 'customer_id') }}
union
select order_id from {{ ref('order_items') }} where {{ is_in('product_id', 'products', 'product_id') }}
