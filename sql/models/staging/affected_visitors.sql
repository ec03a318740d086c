-- One row per visitor whose sessions an increment recomputes: an event of theirs came, changed or went since the models
-- were built, or the order or customer that one of their events names did.
select {{ visitor_key('staged') }} as visitor_key
from {{ source('stage', 'events') }} as staged
where {{ unless_whole() }} and {{ is_in('staged._key', source('ops', 'changed_keys'), 'key', 'events') }}
union
-- Rows that are gone. Of an event delivered again the rows that are left count above: it may have left their visitor.
select {{ visitor_key('changed', 'key') }}
from {{ source('ops', 'changed_keys') }} as changed
where {{ unless_whole() }} and changed.entity = 'events'
union
select {{ visitor_key('events') }}
from {{ ref('events') }} as events
where {{ unless_whole() }} and {{ is_in('events.order_id', source('ops', 'changed_keys'), 'order_id') }}
union
select {{ visitor_key('events') }}
from {{ ref('events') }} as events
where {{ unless_whole() }} and {{ is_in('events.order_id', ref('affected_facts'), 'order_id') }}
union
select {{ visitor_key('events') }}
from {{ ref('events') }} as events
where {{ unless_whole() }}
    and events.customer_id in (
        select changed.customer_id from {{ source('ops', 'changed_keys') }} as changed where changed.entity <> 'events'
    )
