-- One row per staged row of orders that does not become a clean row of its own; one whose customer is unknown waits.
{{ config(pre_hook="{{ remove_affected('row_key', ref('affected_keys'), 'key', 'orders') }}") }}
{{ dispositions('orders', version_column='updated_at', needs_customer=true) }}
