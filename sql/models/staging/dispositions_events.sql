-- One row per staged row of events that does not become a clean row of its own.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'events'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('events', version='event_at') }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('events') }}

)

select * from refused
union all
select * from repeated
