-- One row per staged row of orders that does not become a clean row of its own.
{{ set_aside('orders', version_column='updated_at') }}
