-- One row per month; a month is complete where the data hold all of it, going by how often the shop has orders.
with customers as (

    select
        {{ month_of('order_date') }} as month,
        count(distinct customer_id) as customers
    from {{ ref('fact_orders') }}
    where order_type = 'sale' and customer_id <> 'unknown'
    group by {{ month_of('order_date') }}

),

months as (

    select
        {{ month_of('order_date') }} as month,
        sum(orders) as orders,
        sum(cancelled_orders) as cancelled_orders,
        {{ amount('sum(refund_amount)') }} as refund_amount,
        {{ summed_measures() }}
    from {{ ref('daily_sales') }}
    group by {{ month_of('order_date') }}

),

completeness as (

    {{ month_completeness(ref('daily_sales')) }}

)

select
    months.month,
    cast(months.orders as bigint) as orders,
    cast(months.cancelled_orders as bigint) as cancelled_orders,
    coalesce(customers.customers, 0) as customers,
    {{ amount('months.quantity') }} as quantity,
    {{ amount('months.gross_amount') }} as gross_amount,
    {{ amount('months.discount_amount') }} as discount_amount,
    {{ amount('months.return_amount') }} as return_amount,
    {{ amount('months.net_amount') }} as net_amount,
    {{ amount('months.cost_amount') }} as cost_amount,
    {{ amount('months.margin_amount') }} as margin_amount,
    {{ amount('months.refund_amount') }} as refund_amount,
    {{ share('months.net_amount', 'months.orders') }} as average_order_amount,
    coalesce(completeness.is_complete, false) as is_complete
from months
left join customers on customers.month = months.month
left join completeness on completeness.month = months.month
