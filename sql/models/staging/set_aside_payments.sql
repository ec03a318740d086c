-- One row per staged row of payments that does not become a clean row of its own; a row whose order
-- is not known waits in quarantine and is released by the build that finds the order.
with set_aside as (

    {{ set_aside('payments') }}

),

orphans as (

    select
        staged._source, staged._source_file, staged._source_row,
        'quarantined' as fate,
        'unknown_order' as rule,
        'order ' || staged.order_id || ' has not been delivered' as reason
    from {{ source('stage', 'payments') }} as staged
    left join {{ ref('orders') }} as orders on orders.order_id = staged.order_id
    left join set_aside on {{ same_row('staged', 'set_aside') }}
    where orders.order_id is null and set_aside.fate is null

)

select * from set_aside
union all
select * from orphans
