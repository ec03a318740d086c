-- One row per entity and key whose staged rows an increment judges anew: its rows have changed, or it belongs to an
-- affected order.
with affected_orders as (

    select order_id
    from {{ ref('affected_orders') }}

)

select entity, key
from {{ source('ops', 'changed_keys') }}
union
select 'orders', order_id
from affected_orders
{% for entity in ['order_items', 'payments', 'order_lines'] %}
union
select '{{ entity }}', {{ row_key('staged') }}
from {{ source('stage', entity) }} as staged
where staged.order_id in (select order_id from affected_orders)
{% endfor %}
