-- One row per quarantined row of payments, whole, with the rule and the reason.
{{ config(alias='payments', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'payments') }}") }}
{{ quarantined('payments') }}
