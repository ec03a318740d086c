-- One row per staged row of order_items that does not become a clean row of its own; one without its order waits.
{{ set_aside_without_order('order_items') }}
