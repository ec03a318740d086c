-- One row per staged row of products that does not become a clean row of its own.
{{ config(pre_hook="{{ remove_affected('row_key', ref('affected_keys'), 'key', 'products') }}") }}
{{ dispositions('products', version_column='updated_at') }}
