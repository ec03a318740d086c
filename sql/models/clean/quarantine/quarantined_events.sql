-- One row per quarantined row of events, whole, with the rule and the reason.
{{ config(alias='events', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'events') }}") }}
{{ quarantined('events') }}
