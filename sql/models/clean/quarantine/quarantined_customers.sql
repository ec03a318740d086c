-- One row per quarantined row of customers, whole, with the rule and the reason.
{{ config(alias='customers', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'customers') }}") }}
{{ quarantined('customers') }}
