-- One row per event on the shop's pages: a view, a cart, a purchase; what it points to may not be known (yet).
{{ config(unique_key='event_id', meta={'recomputed_by': 'affected_keys', 'entity': 'events'}) }}
with accepted as {{ inlined() }} (

    {{ accepted('events', by='affected_keys') }}

),

-- Few words, for which there are many events.
kinds as (

    select named.event_type, named.product_id, {{ event_kind('named') }} as kind
    from (
        select distinct event_type, case when product_id is not null then 'one' end as product_id
        from accepted
    ) as named

)

select
    accepted.event_id, accepted.event_at, lower(accepted.event_type) as event_type, kinds.kind, accepted.visitor_id,
    accepted.customer_id, accepted.session_id, accepted.product_id, accepted.order_id, accepted.device, accepted.campaign,
    accepted.page, accepted.quantity, accepted.value,
    {{ label("'events'") }} as _entity, accepted._source, accepted._source_file, accepted._source_row
from accepted
inner join kinds
    on kinds.event_type = accepted.event_type and (kinds.product_id is null) = (accepted.product_id is null)
