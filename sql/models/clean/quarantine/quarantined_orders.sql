-- One row per quarantined row of orders, whole, with the rule and the reason.
{{ config(alias='orders') }}
{{ quarantined('orders') }}
