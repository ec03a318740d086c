-- One row per quarantined row of events, whole, with the rule and the reason.
{{ config(alias='events', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'events') }}") }}
{{ quarantined('events') }}
