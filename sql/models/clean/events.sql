-- One row per event on the shop's pages: a view, a cart, a purchase; what it points to may not be known (yet).
{{ config(unique_key='event_id', meta={'recomputed_by': 'affected_keys', 'entity': 'events'}) }}
with accepted as (

    {{ accepted('events', by='affected_keys') }}

)

select
    event_id, event_at, lower(event_type) as event_type, visitor_id, customer_id, session_id, product_id, order_id,
    device, campaign, page, quantity, value,
    {{ label("'events'") }} as _entity, _source, _source_file, _source_row
from accepted
