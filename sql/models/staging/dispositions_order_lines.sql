-- One row per staged row of order_lines that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_affected('row_key', ref('affected_keys'), 'key', 'order_lines') }}") }}
{{ dispositions('order_lines') }}
