-- One row per product that was ever on an order, with its present attributes, the unknown one included.
with sold_orders as (

    select distinct {{ product_of('items') }} as product_id, items.order_id
    from {{ ref('fact_order_items') }} as items
    where items.line_type = 'sale'

),

-- Counted over rows that are distinct already: `count(distinct ...)` sorts every line where `distinct` hashes them.
orders as (

    select product_id, count(*) as orders
    from sold_orders
    group by product_id

),

sales as (

    select
        {{ product_of('items') }} as product_id,
        min(items.order_date) as first_order_date,
        max(items.order_date) as last_order_date,
        {{ summed_measures(quantity='net_quantity') }}
    from {{ ref('fact_order_items') }} as items
    group by {{ product_of('items') }}

)

select
    sales.product_id,
    products.name,
    products.category,
    products.subcategory,
    products.brand,
    products.product_type,
    sales.first_order_date,
    sales.last_order_date,
    coalesce(orders.orders, 0) as orders,
    sales.quantity,
    sales.gross_amount,
    sales.discount_amount,
    sales.return_amount,
    sales.net_amount,
    sales.cost_amount,
    sales.margin_amount,
    {{ share('sales.margin_amount', 'sales.net_amount') }} as margin_rate,
    {{ share('sales.return_amount', 'sales.gross_amount - sales.discount_amount') }} as return_rate,
    row_number() over (order by sales.net_amount desc nulls last, sales.product_id) as revenue_rank
from sales
inner join {{ ref('dim_products') }} as products on products.product_id = sales.product_id and products.is_current
left join orders on orders.product_id = sales.product_id
