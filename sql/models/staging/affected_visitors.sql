-- One row per visitor whose sessions an increment recomputes: an event of theirs came, changed or went since the models
-- were built, or the order or customer that one of their events names did.
with changed as (

    select entity, key, order_id, customer_id, visitor_id
    from {{ source('ops', 'changed_keys') }}

),

-- Of an event delivered again the rows that are left count too: it may have left their visitor.
changed_events as (

    select {{ visitor_key('changed', 'key') }} as visitor_key
    from changed
    where entity = 'events'
    union
    select {{ visitor_key('staged') }}
    from {{ source('stage', 'events') }} as staged
    where staged._key in (select key from changed where entity = 'events')

),

-- Semi joins, not one condition with `or`: where nothing has changed they read no event.
related_events as (

    select {{ visitor_key('events') }} as visitor_key
    from {{ ref('events') }} as events
    where events.order_id in (select order_id from changed)
    union
    select {{ visitor_key('events') }}
    from {{ ref('events') }} as events
    where events.order_id in (select order_id from {{ ref('affected_facts') }})
    union
    select {{ visitor_key('events') }}
    from {{ ref('events') }} as events
    where events.customer_id in (select customer_id from changed where entity <> 'events')

)

select visitor_key from changed_events
union
select visitor_key from related_events
