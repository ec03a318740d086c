-- One row per quarantined row of order_lines, whole, with the rule and the reason.
{{ config(alias='order_lines', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'order_lines') }}") }}
{{ quarantined('order_lines') }}
