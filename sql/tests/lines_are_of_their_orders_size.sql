{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'warehouse.fact_order_items', 'field': 'gross_amount',
    'description': "no line is more than eight times its order's total",
    'tested': 'select coalesce(sum(line_count), 0) from warehouse.fact_orders where total_amount > 0'}) }}
with orders as (

    select order_id, total_amount
    from {{ ref('fact_orders') }}
    where total_amount > 0 and gross_amount > 8 * total_amount

)

select
    items.order_id, items.line_number, items.product_id, items.quantity, items.unit_price, items.gross_amount,
    items.discount_amount, orders.total_amount, items.source
from orders
inner join {{ ref('fact_order_items') }} as items on items.order_id = orders.order_id
where items.gross_amount - items.discount_amount > 8 * orders.total_amount
