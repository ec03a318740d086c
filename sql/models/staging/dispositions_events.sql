-- One row per staged row of events that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_affected('row_key', ref('affected_keys'), 'key', 'events') }}") }}
{{ dispositions('events', version_column='event_at') }}
