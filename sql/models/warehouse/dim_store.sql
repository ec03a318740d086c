-- One row per branch store that took an order, and one "unknown" for orders of no known store.
{{ dimension_of_names(ref('orders'), column='store_id', key='store_key', name='store_id') }}
