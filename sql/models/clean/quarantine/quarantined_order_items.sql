-- One row per quarantined row of order_items, whole, with the rule and the reason.
{{ config(alias='order_items', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'order_items') }}") }}
{{ quarantined('order_items') }}
