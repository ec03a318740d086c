{{ config(severity='warn', meta={
    'dimension': 'timeliness', 'weight': 0.5, 'rule': 'late_event', 'table': 'clean.events',
    'description': 'events are delivered within {late_after_hours} hours',
    'tested': "select count(*) from clean.events where _source_file like '%____/__/__/__/%'",
    'finds': {'entity': 'events', 'source': '_source', 'key': 'event_id', 'family': 'event_id', 'field': 'event_at'}}) }}
with files as (

    select distinct _source_file
    from {{ ref('events') }}

),

hours as (

    select _source_file, {{ delivery_hour('_source_file') }} as delivered_at
    from files

)

select events.event_id, events.event_at, hours.delivered_at, events.event_type, events.visitor_id, events._source
from {{ ref('events') }} as events
inner join hours on hours._source_file = events._source_file
where hours.delivered_at > events.event_at + interval '{{ (var("late_after_hours") * 3600) | int }} seconds'
