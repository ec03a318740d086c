-- One row per staged row of customers that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'customers') }}") }}
{{ set_aside('customers', version_column='updated_at') }}
