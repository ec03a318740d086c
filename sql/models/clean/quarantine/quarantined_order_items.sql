-- One row per quarantined row of order_items, whole, with the rule and the reason.
{{ config(alias='order_items', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'order_items') }}") }}
{{ quarantined('order_items') }}
