-- One row per order: from the orders that sources deliver, and from order lines for all others.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
with delivered as {{ inlined() }} (

    {{ accepted('orders') }}

),

states as (

    {{ staged_states() }}

),

lines as (

    {{ stated_lines() }}

),

-- Of each column the newest value that a line states, of an amount the first that is not zero: some systems write it
-- into an order's first line and zeros into the others. Shipping, tax and discount that differ between the lines are sums
-- over them. An order was placed when its first line was.
from_lines as (

    select
        lines.order_id,
        coalesce(
            min(lines.ordered_at) filter (where lines.is_accepted and not {{ came_back('lines') }}),
            min(lines.ordered_at) filter (where lines.is_accepted)
        ) as ordered_at,
        {% for column in ['customer_id', 'status', 'channel', 'store_id', 'campaign', 'currency'] %}
        {{ first_stated('lines.' ~ column, 'lines.place') }} as {{ column }},
        {% endfor %}
        {% for column in ['order_discount_amount', 'shipping_amount', 'tax_amount', 'total_amount', 'refund_amount'] %}
        {%- set first = 'coalesce(' ~ first_stated('case when lines.is_accepted then nullif(lines.' ~ column ~ ', 0) end', 'lines.place') ~ ', ' ~ first_stated('lines.' ~ column, 'lines.place') ~ ')' %}
        {{ amount(first if column in ('total_amount', 'refund_amount') else of_lines('lines', column, first)) }} as {{ column | replace('order_', '') }},
        {% endfor %}
        {% for column in ['shipped_at', 'cancelled_at'] %}
        {{ first_stated('lines.' ~ column, 'lines.place') }} as {{ column }},
        {% endfor %}
        max(lines.updated_at) filter (where lines.is_accepted) as updated_at,
        min(lines._source) filter (where lines.is_accepted) as _source,
        min(lines._source_file) filter (where lines.is_accepted) as _source_file
    from lines
    left join delivered on delivered.order_id = lines.order_id
    where delivered.order_id is null
    group by lines.order_id
    having bool_or(lines.is_accepted)

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

),

-- A time of cancelling says that an order was cancelled, whatever its status.
judged as (

    select
        united.*,
        case when united.cancelled_at is not null then 'cancelled' else coalesce(states.state, {{ label("'sale'") }}) end as state
    from united
    left join states on states.status = united.status

)

select
    order_id, ordered_at, customer_id, lower(status) as status, state,
    state in ('cancelled', 'failed') as is_cancelled,
    state = 'returned' as is_returned,
    lower(channel) as channel, store_id, campaign, upper(currency) as currency,
    discount_amount, shipping_amount, tax_amount, total_amount, refund_amount, shipped_at, cancelled_at, updated_at,
    _entity, _source, _source_file, _source_row
from judged
