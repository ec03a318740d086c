-- One row per quarantined row of payments, whole, with the rule and the reason.
{{ config(alias='payments', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'payments') }}") }}
{{ quarantined('payments') }}
