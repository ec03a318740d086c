-- One row per staged row of payments that does not become a clean row of its own; one without its order waits.
{{ set_aside_without_order('payments') }}
