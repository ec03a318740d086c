-- One row per weekday (1 is Monday) and hour on the shop's clock that had an order.
select
    {{ weekday('order_date') }} as weekday,
    order_hour as hour,
    count(*) as orders,
    {{ amount('sum(net_amount)') }} as net_amount
from {{ ref('fact_orders') }}
where order_type = 'sale'
group by {{ weekday('order_date') }}, order_hour
