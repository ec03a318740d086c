-- One row per entity and key whose staged rows an increment judges anew: its rows have changed, or it belongs to a
-- affected order.
with named as (

    select entity, key
    from {{ source('ops', 'changed_keys') }}
    where {{ unless_whole() }}

)

select entity, key from named
union
select 'orders', order_id from {{ ref('affected_orders') }}
{% for entity in ['order_items', 'payments', 'order_lines'] %}
union
select '{{ entity }}', {{ row_key('staged') }}
from {{ source('stage', entity) }} as staged
where {{ unless_whole() }} and {{ is_in('staged.order_id', ref('affected_orders'), 'order_id') }}
{% endfor %}
