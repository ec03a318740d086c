-- One row per business day from the first to the last with an order, days without one included.
with sales as (

    select
        order_date,
        count(*) filter (where order_type = 'sale') as orders,
        count(*) filter (where order_type = 'cancellation') as cancelled_orders,
        count(distinct case when order_type = 'sale' and customer_id <> 'unknown' then customer_id end) as customers,
        {{ amount('sum(refund_amount)') }} as refund_amount,
        {{ summed_measures() }}
    from {{ ref('fact_orders') }}
    group by order_date

)

select
    dates.order_date,
    coalesce(sales.orders, 0) as orders,
    coalesce(sales.cancelled_orders, 0) as cancelled_orders,
    coalesce(sales.customers, 0) as customers,
    {{ amount('coalesce(sales.quantity, 0)') }} as quantity,
    {{ amount('coalesce(sales.gross_amount, 0)') }} as gross_amount,
    {{ amount('coalesce(sales.discount_amount, 0)') }} as discount_amount,
    {{ amount('coalesce(sales.return_amount, 0)') }} as return_amount,
    {{ amount('coalesce(sales.net_amount, 0)') }} as net_amount,
    {{ amount('sales.cost_amount') }} as cost_amount,
    {{ amount('sales.margin_amount') }} as margin_amount,
    {{ amount('coalesce(sales.refund_amount, 0)') }} as refund_amount
from {{ ref('dim_date') }} as dates
left join sales on sales.order_date = dates.order_date
where dates.order_date >= (select min(order_date) from sales) and dates.order_date <= (select max(order_date) from sales)
