-- One row per session: what a visitor did without a pause longer than the idle time (30 minutes unless configured).
{{ config(unique_key='visitor_key', meta={'recomputed_by': 'affected_visitors'}) }}
with relevant as (

    select
        events.event_id, events.event_at, events.visitor_id, events.customer_id, events.order_id,
        events.device, events.campaign, events.value,
        {{ visitor_key('events') }} as visitor_key,
        events.kind
    from {{ ref('events') }} as events
    {{ where_affected(visitor_key('events'), by='affected_visitors') }}

),

paused as (

    select
        *,
        case
            when event_at <= lag(event_at) over in_time + interval '{{ var("session_idle_minutes", 30) }} minutes' then 0
            else 1
        end as is_first
    from relevant
    window in_time as (partition by visitor_key order by event_at, event_id)

),

numbered as (

    select
        *,
        sum(is_first) over (
            partition by visitor_key order by event_at, event_id rows between unbounded preceding and current row
        ) as session_number
    from paused

),

-- A session has the device and campaign of its first event, or where that states none, of another one.
sessions as (

    select
        visitor_key, session_number,
        md5(min(case when is_first = 1 then event_id end)) as session_key,
        min(visitor_id) as visitor_id,
        coalesce(min(case when kind = 'purchase' then customer_id end), min(customer_id)) as customer_id,
        coalesce(min(case when is_first = 1 then device end), min(device)) as device,
        coalesce(min(case when is_first = 1 then campaign end), min(campaign)) as campaign,
        min(event_at) as started_at,
        max(event_at) as ended_at,
        count(*) as event_count,
        count(*) filter (where kind in ('view', 'product_view')) as views,
        count(*) filter (where kind = 'product_view') as product_views,
        count(*) filter (where kind = 'search') as searches,
        count(*) filter (where kind = 'add_to_cart') as add_to_carts,
        count(*) filter (where kind = 'removal') as removals,
        count(*) filter (where kind = 'checkout') as checkouts,
        count(*) filter (where kind = 'purchase') as purchases
    from numbered
    group by visitor_key, session_number

),

-- An order is produced once, by the first purchase that names it, whoever's that is.
claims as (

    select
        events.event_id, events.order_id,
        row_number() over (partition by events.order_id order by events.event_at, events.event_id) as claim
    from {{ ref('events') }} as events
    where events.order_id is not null and events.kind = 'purchase'
    {% if is_incremental() %}
        and events.order_id in (select relevant.order_id from relevant)
    {% endif %}

),

produced as (

    select
        numbered.visitor_key, numbered.session_number,
        orders.order_id, orders.net_amount,
        row_number() over (
            partition by numbered.visitor_key, numbered.session_number order by numbered.event_at, numbered.event_id
        ) as place
    from numbered
    inner join claims on claims.event_id = numbered.event_id and claims.claim = 1
    inner join {{ ref('fact_orders') }} as orders on orders.order_id = claims.order_id

),

-- What purchases are worth by their events: those of one order are one purchase.
valued as (

    select
        numbered.visitor_key, numbered.session_number,
        sum({{ amount('case when abs(numbered.value) < 1000000000 then numbered.value end') }}) as purchase_amount
    from numbered
    left join claims on claims.event_id = numbered.event_id
    where numbered.kind = 'purchase' and (numbered.order_id is null or claims.claim = 1)
    group by numbered.visitor_key, numbered.session_number

),

outcomes as (

    select
        visitor_key, session_number,
        min(case when place = 1 then order_id end) as order_id,
        count(*) as orders,
        sum(net_amount) as net_amount
    from produced
    group by visitor_key, session_number

),

reached as (

    select
        *,
        case
            when purchases > 0 then 5
            when checkouts > 0 then 4
            when add_to_carts > 0 then 3
            when product_views > 0 then 2
            else 1
        end as funnel_step
    from sessions

)

select
    reached.session_key,
    reached.visitor_key,
    reached.visitor_id,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    outcomes.order_id,
    cast({{ local_time('reached.started_at') }} as date) as session_date,
    reached.started_at,
    reached.ended_at,
    cast(floor(extract(epoch from reached.ended_at - reached.started_at)) as bigint) as duration_seconds,
    reached.device,
    reached.campaign,
    reached.funnel_step,
    case reached.funnel_step
        when 5 then 'purchase'
        when 4 then 'checkout'
        when 3 then 'cart'
        when 2 then 'product view'
        else {{ label("'visit'") }}
    end as funnel_label,
    reached.funnel_step = 5 as is_converted,
    reached.event_count,
    reached.views,
    reached.searches,
    reached.add_to_carts,
    reached.removals,
    reached.checkouts,
    reached.purchases,
    {{ amount('valued.purchase_amount') }} as purchase_amount,
    coalesce(outcomes.orders, 0) as orders,
    {{ amount('outcomes.net_amount') }} as net_amount
from reached
left join outcomes on outcomes.visitor_key = reached.visitor_key and outcomes.session_number = reached.session_number
left join valued on valued.visitor_key = reached.visitor_key and valued.session_number = reached.session_number
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = reached.customer_id and {{ valid_at('customers', 'reached.started_at') }}
