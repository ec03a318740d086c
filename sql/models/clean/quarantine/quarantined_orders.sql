-- One row per quarantined row of orders, whole, with the rule and the reason.
{{ config(alias='orders', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'orders') }}") }}
{{ quarantined('orders') }}
