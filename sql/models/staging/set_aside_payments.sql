-- One row per staged row of payments that does not become a clean row of its own; one without its order waits.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'payments') }}") }}
{{ set_aside('payments', version_column='updated_at', needs_order=true) }}
