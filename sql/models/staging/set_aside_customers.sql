-- One row per staged row of customers that does not become a clean row of its own.
{{ set_aside('customers', version_column='updated_at') }}
