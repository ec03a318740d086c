-- One row per order: from the orders that sources deliver, and from order lines for all others.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
with delivered as {{ inlined() }} (

    {{ accepted('orders') }}

),

lines as (

    {{ accepted('order_lines') }}

),

from_lines as (

    select
        lines.order_id,
        min(lines.ordered_at) as ordered_at,
        min(lines.customer_id) as customer_id,
        min(lines.status) as status,
        min(lines.channel) as channel,
        min(lines.store_id) as store_id,
        min(lines.campaign) as campaign,
        min(lines.currency) as currency,
        {{ amount('max(lines.order_discount_amount)') }} as discount_amount,
        {{ amount('max(lines.shipping_amount)') }} as shipping_amount,
        {{ amount('max(lines.tax_amount)') }} as tax_amount,
        {{ amount('max(lines.total_amount)') }} as total_amount,
        {{ amount('max(lines.refund_amount)') }} as refund_amount,
        min(lines.shipped_at) as shipped_at,
        min(lines.cancelled_at) as cancelled_at,
        max(lines.updated_at) as updated_at,
        min(lines._source) as _source,
        min(lines._source_file) as _source_file
    from lines
    left join delivered on delivered.order_id = lines.order_id
    where delivered.order_id is null
    group by lines.order_id

),

united as (

    select
        order_id, ordered_at, customer_id, status, channel, store_id, campaign, currency,
        discount_amount, shipping_amount, tax_amount, total_amount, refund_amount, shipped_at, cancelled_at, updated_at,
        {{ label("'orders'") }} as _entity, _source, _source_file, _source_row
    from delivered
    union all
    select
        order_id, ordered_at, customer_id, status, channel, store_id, campaign, currency,
        discount_amount, shipping_amount, tax_amount, total_amount, refund_amount, shipped_at, cancelled_at, updated_at,
        {{ label("'order_lines'") }} as _entity, _source, _source_file, cast(null as bigint) as _source_row
    from from_lines

)

select
    order_id, ordered_at, customer_id, lower(status) as status,
    cancelled_at is not null or coalesce(lower(status) in ('cancelled', 'canceled', 'void', 'voided'), false) as is_cancelled,
    cancelled_at is null and coalesce(lower(status) in ('returned', 'refunded'), false) as is_returned,
    lower(channel) as channel, store_id, campaign, upper(currency) as currency,
    discount_amount, shipping_amount, tax_amount, total_amount, refund_amount, shipped_at, cancelled_at, updated_at,
    _entity, _source, _source_file, _source_row
from united
