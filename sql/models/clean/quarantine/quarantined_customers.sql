-- One row per quarantined row of customers, whole, with the rule and the reason.
{{ config(alias='customers', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'customers') }}") }}
{{ quarantined('customers') }}
