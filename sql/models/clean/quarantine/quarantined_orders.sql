-- One row per quarantined row of orders, whole, with the rule and the reason.
{{ config(alias='orders', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'orders') }}") }}
{{ quarantined('orders') }}
