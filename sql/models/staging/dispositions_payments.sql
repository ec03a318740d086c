-- One row per staged row of payments that does not become a clean row of its own; one without its order waits.
{{ config(pre_hook="{{ remove_affected('row_key', ref('affected_keys'), 'key', 'payments') }}") }}
{{ dispositions('payments', version_column='updated_at', needs_order=true) }}
