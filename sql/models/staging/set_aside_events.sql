-- One row per staged row of events that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'events') }}") }}
{{ set_aside('events', version_column='event_at') }}
