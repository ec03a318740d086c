-- One row per weekday (1 is Monday) and hour on the shop's clock that had an order; of sources that state times of day.
with timed_sources as (

    select source
    from {{ ref('fact_orders') }}
    where {{ local_time('ordered_at') }} <> cast(order_date as timestamp)
    group by source

)

select
    {{ weekday('orders.order_date') }} as weekday,
    orders.order_hour as hour,
    count(*) as orders,
    {{ amount('sum(orders.net_amount)') }} as net_amount
from {{ ref('fact_orders') }} as orders
inner join timed_sources on timed_sources.source = orders.source
where orders.order_type = 'sale'
group by {{ weekday('orders.order_date') }}, orders.order_hour
