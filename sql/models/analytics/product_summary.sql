-- One row per product that was ever on an order, the unknown one included.
with sales as (

    select
        product_key,
        count(distinct case when line_type = 'sale' then order_id end) as orders,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date,
        {{ summed_measures(quantity='net_quantity') }}
    from {{ ref('fact_order_items') }}
    group by product_key

)

select
    sales.product_key as product_id,
    products.name,
    products.category,
    products.subcategory,
    products.brand,
    sales.first_order_date,
    sales.last_order_date,
    sales.orders,
    sales.quantity,
    sales.gross_amount,
    sales.discount_amount,
    sales.return_amount,
    sales.net_amount,
    sales.cost_amount,
    sales.margin_amount,
    {{ share('sales.margin_amount', 'sales.net_amount') }} as margin_rate,
    {{ share('sales.return_amount', 'sales.gross_amount - sales.discount_amount') }} as return_rate,
    row_number() over (order by sales.net_amount desc nulls last, sales.product_key) as revenue_rank
from sales
inner join {{ ref('dim_products') }} as products on products.product_key = sales.product_key
