-- One row per order, with its lines' measures summed and its payments beside them.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_facts'}) }}
with orders as (

    select *
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

items as (

    select *
    from {{ ref('fact_order_items') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

payments as (

    select *
    from {{ ref('fact_payments') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

lines as (

    select
        order_id,
        count(*) as line_count,
        count(*) filter (where line_type = 'sale') as sold_lines,
        count(*) filter (where line_type = 'return') as returned_lines,
        {{ summed_measures(quantity='net_quantity') }}
    from items
    group by order_id

),

paid as (

    select
        order_id,
        {{ amount('sum(paid_amount)') }} as paid_amount,
        {{ amount('sum(refunded_amount)') }} as refunded_amount
    from payments
    group by order_id

)

select
    orders.order_id,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    coalesce(stores.store_key, 'unknown') as store_key,
    cast({{ local_time('orders.ordered_at') }} as date) as order_date,
    cast(extract(hour from {{ local_time('orders.ordered_at') }}) as integer) as order_hour,
    orders.ordered_at,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    case
        when orders.is_cancelled then 'cancellation'
        when orders.is_returned or (lines.sold_lines = 0 and lines.returned_lines > 0) then 'return'
        when lines.sold_lines = 0 then 'adjustment'
        else {{ label("'sale'") }}
    end as order_type,
    orders.status,
    orders.channel,
    orders.store_id,
    orders.campaign,
    orders.currency,
    orders._source as source,
    coalesce(lines.line_count, 0) as line_count,
    coalesce(lines.returned_lines, 0) as returned_lines,
    {{ amount('coalesce(lines.quantity, 0)') }} as quantity,
    {{ amount('coalesce(lines.gross_amount, 0)') }} as gross_amount,
    {{ amount('coalesce(lines.discount_amount, 0)') }} as discount_amount,
    {{ amount('coalesce(lines.return_amount, 0)') }} as return_amount,
    {{ amount('coalesce(lines.net_amount, 0)') }} as net_amount,
    lines.cost_amount,
    lines.margin_amount,
    orders.shipping_amount,
    orders.tax_amount,
    orders.total_amount,
    paid.paid_amount,
    paid.refunded_amount
from orders
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = orders.customer_id and {{ valid_at('customers', 'orders.ordered_at') }}
left join {{ ref('dim_store') }} as stores on stores.store_id = orders.store_id
left join lines on lines.order_id = orders.order_id
left join paid on paid.order_id = orders.order_id
