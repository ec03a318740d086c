-- One row per business day and channel with an order; orders that name none are of the channel "unknown".
select
    order_date,
    coalesce(channel, 'unknown') as channel,
    {{ month_of('order_date') }} as month,
    count(*) filter (where order_type = 'sale') as orders,
    count(*) filter (where order_type = 'cancellation') as cancelled_orders,
    {{ summed_measures() }}
from {{ ref('fact_orders') }}
group by order_date, coalesce(channel, 'unknown')
