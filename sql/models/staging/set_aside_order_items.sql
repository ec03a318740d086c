-- One row per staged row of order_items that does not become a clean row of its own; one without its order waits.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'order_items') }}") }}
{{ set_aside('order_items', version_column='updated_at', needs_order=true) }}
