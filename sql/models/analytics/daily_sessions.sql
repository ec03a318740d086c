-- One row per business day and device with a session: how far its sessions got, and what they brought.
select
    session_date,
    coalesce(device, 'unknown') as device,
    {{ month_of('session_date') }} as month,
    count(*) as sessions,
    count(*) filter (where funnel_step >= 2) as product_view_sessions,
    count(*) filter (where funnel_step >= 3) as cart_sessions,
    count(*) filter (where funnel_step >= 4) as checkout_sessions,
    count(*) filter (where is_converted) as converted_sessions,
    {{ amount('coalesce(sum(purchase_amount), 0)') }} as purchase_amount,
    cast(sum(orders) as bigint) as orders,
    {{ amount('coalesce(sum(net_amount), 0)') }} as net_amount
from {{ ref('fact_sessions') }}
group by session_date, coalesce(device, 'unknown')
