-- One row per quarantined row of order_lines, whole, with the rule and the reason.
{{ config(alias='order_lines') }}
{{ quarantined('order_lines') }}
