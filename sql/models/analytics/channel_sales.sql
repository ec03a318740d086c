-- One row per business day and channel with an order; orders that name none are of the channel "unknown".
select
    order_date,
    coalesce(channel, 'unknown') as channel,
    {{ month_of('order_date') }} as month,
    count(*) filter (where order_type = 'sale') as orders,
    count(*) filter (where order_type = 'cancellation') as cancelled_orders,
    {{ summed_measures() }},
    {{ amount('sum(refund_amount)') }} as refund_amount
from {{ ref('fact_orders') }}
group by order_date, coalesce(channel, 'unknown')
