{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'field': 'unit_price',
    'description': 'every line has a price above zero, but those of orders that were cancelled or wait'}) }}
with unpriced as (

    select *
    from {{ ref('order_items') }}
    where not coalesce(unit_price > 0, false)

)

select unpriced.*
from unpriced
left join {{ ref('orders') }} as orders on orders.order_id = unpriced.order_id
where orders.state is null or orders.state not in ('cancelled', 'pending', 'failed')
