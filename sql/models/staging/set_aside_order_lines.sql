-- One row per staged row of order_lines that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'order_lines') }}") }}
{{ set_aside('order_lines') }}
