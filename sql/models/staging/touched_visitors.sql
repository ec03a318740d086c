-- One row per visitor whose sessions an increment recomputes: an event of theirs came, changed or went since the models
-- were built, or the order or customer that one of their events names did.
select {{ visitor_key('staged') }} as visitor_key
from {{ source('stage', 'events') }} as staged
where {{ unless_whole() }} and {{ is_in('staged._key', source('ops', 'touched'), 'key', 'events') }}
union
-- Rows that are gone. Of an event delivered again the rows that are left count above: it may have left their visitor.
select {{ visitor_key('touched', 'key') }}
from {{ source('ops', 'touched') }} as touched
where {{ unless_whole() }} and touched.entity = 'events'
union
select {{ visitor_key('events') }}
from {{ ref('events') }} as events
where {{ unless_whole() }} and {{ is_in('events.order_id', source('ops', 'touched'), 'order_id') }}
union
select {{ visitor_key('events') }}
from {{ ref('events') }} as events
where {{ unless_whole() }} and {{ is_in('events.order_id', ref('touched_sales'), 'order_id') }}
union
select {{ visitor_key('events') }}
from {{ ref('events') }} as events
where {{ unless_whole() }}
    and events.customer_id in (
        select touched.customer_id from {{ source('ops', 'touched') }} as touched where touched.entity <> 'events'
    )
