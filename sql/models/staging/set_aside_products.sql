-- One row per staged row of products that does not become a clean row of its own.
{{ set_aside('products', version_column='updated_at') }}
