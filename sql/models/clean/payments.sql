-- One row per payment, failed attempts and refunds among them.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
with accepted as (

    {{ accepted('payments') }}

)

select
    payment_id, order_id, lower(method) as method, amount, upper(currency) as currency,
    lower(coalesce(status, 'paid')) as status, paid_at, updated_at,
    {{ label("'payments'") }} as _entity, _source, _source_file, _source_row
from accepted
