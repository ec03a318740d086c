-- One row per staged row of orders that does not become a clean row of its own; one whose customer is unknown waits.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'orders') }}") }}
{{ set_aside('orders', version_column='updated_at', needs_customer=true) }}
