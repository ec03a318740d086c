-- One row per quarantined row of order_items, whole, with the rule and the reason.
{{ config(alias='order_items') }}
{{ quarantined('order_items') }}
