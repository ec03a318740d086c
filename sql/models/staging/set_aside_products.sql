-- One row per staged row of products that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_touched('row_key', ref('touched_keys'), 'key', 'products') }}") }}
{{ set_aside('products', version_column='updated_at') }}
