-- One row per month: net revenue and customers, new in that month, returning, and unknown.
with firsts as (

    select customer_id, min(order_date) as first_order_date
    from {{ ref('fact_orders') }}
    where order_type = 'sale' and customer_id <> 'unknown'
    group by customer_id

),

orders as (

    select
        {{ month_of('orders.order_date') }} as month,
        orders.customer_id,
        orders.order_type,
        orders.net_amount,
        case
            when orders.customer_id = 'unknown' then 'unknown'
            when firsts.first_order_date is null or {{ month_of('orders.order_date') }} <= {{ month_of('firsts.first_order_date') }} then 'new'
            else 'returning'
        end as customer_type
    from {{ ref('fact_orders') }} as orders
    left join firsts on firsts.customer_id = orders.customer_id

)

select
    month,
    count(distinct case when order_type = 'sale' and customer_type = 'new' then customer_id end) as new_customers,
    count(distinct case when order_type = 'sale' and customer_type = 'returning' then customer_id end) as returning_customers,
    {{ amount("sum(case when customer_type = 'new' then net_amount else 0 end)") }} as new_net_amount,
    {{ amount("sum(case when customer_type = 'returning' then net_amount else 0 end)") }} as returning_net_amount,
    {{ amount("sum(case when customer_type = 'unknown' then net_amount else 0 end)") }} as unknown_net_amount
from orders
group by month
