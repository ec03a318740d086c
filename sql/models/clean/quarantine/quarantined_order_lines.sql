-- One row per quarantined row of order_lines, whole, with the rule and the reason.
{{ config(alias='order_lines', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'order_lines') }}") }}
{{ quarantined('order_lines') }}
