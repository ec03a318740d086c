-- One row per staged row of order_lines that does not become a clean row of its own.
{{ set_aside('order_lines') }}
