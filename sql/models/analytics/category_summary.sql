-- One row per product category; a product's sales are all in its present one.
with sold_orders as (

    select distinct products.category, items.order_id
    from {{ ref('fact_order_items') }} as items
    inner join {{ ref('dim_products') }} as products
        on products.product_id = {{ product_of('items') }} and products.is_current
    where items.line_type = 'sale'

),

orders as (

    select category, count(*) as orders
    from sold_orders
    group by category

),

sales as (

    select
        category,
        {{ summed_measures() }}
    from {{ ref('product_summary') }}
    group by category

)

select
    sales.category,
    coalesce(orders.orders, 0) as orders,
    {{ amount('sales.quantity') }} as quantity,
    {{ amount('sales.gross_amount') }} as gross_amount,
    {{ amount('sales.discount_amount') }} as discount_amount,
    {{ amount('sales.return_amount') }} as return_amount,
    {{ amount('sales.net_amount') }} as net_amount,
    {{ amount('sales.cost_amount') }} as cost_amount,
    {{ amount('sales.margin_amount') }} as margin_amount,
    {{ share('sales.margin_amount', 'sales.net_amount') }} as margin_rate,
    {{ share('sales.return_amount', 'sales.gross_amount - sales.discount_amount') }} as return_rate
from sales
left join orders on orders.category = sales.category
