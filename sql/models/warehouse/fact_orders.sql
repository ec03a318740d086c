-- One row per order, with its lines' measures summed and its payments beside them.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_facts'}) }}
with orders as (

    select
        *, {{ currency_of('currency') }} as amount_currency, cast({{ local_time('ordered_at') }} as date) as order_date
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

items as (

    select *
    from {{ ref('fact_order_items') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

payments as (

    select *
    from {{ ref('fact_payments') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

lines as (

    select
        order_id,
        sum(case when amount_basis in ('order total', 'payments') then 0 else 1 end) as line_count,
        max(case when amount_basis in ('order total', 'payments') then amount_basis end) as total_basis,
        count(*) filter (where line_type = 'sale') as sold_lines,
        count(*) filter (where line_type = 'return') as returned_lines,
        sum(case when line_type <> 'return' or gross_amount > 0 then shipping_amount end) as shipping_amount,
        sum(case when line_type <> 'return' or gross_amount > 0 then tax_amount end) as tax_amount,
        {{ amount('sum(original_gross_amount)') }} as original_gross_amount,
        {{ amount('sum(original_discount_amount)') }} as original_discount_amount,
        {{ amount('sum(original_return_amount)') }} as original_return_amount,
        {{ amount('sum(original_net_amount)') }} as original_net_amount,
        {{ summed_measures(quantity='net_quantity') }}
    from items
    group by order_id

),

paid as (

    select
        order_id,
        {{ amount('sum(paid_amount)') }} as paid_amount,
        {{ amount('sum(refunded_amount)') }} as refunded_amount
    from payments
    group by order_id

),

rated as (

    select orders.*, {{ exchange_rate('orders.amount_currency', 'rates') }} as exchange_rate
    from orders
    {{ join_rate('rates', 'orders.amount_currency', 'orders.order_date') }}

),

-- Where the lines or the status state what came back, a refund on the order holds it too: what is beyond is the order's.
summed as (

    select
        rated.order_id, rated.order_date, rated.ordered_at, rated.customer_id, rated.status, rated.state, rated.channel, rated.store_id,
        rated.campaign, rated.amount_currency, rated.exchange_rate, rated.total_amount, rated._source,
        cast(coalesce(lines.line_count, 0) as bigint) as line_count,
        coalesce(lines.returned_lines, 0) as returned_lines,
        case
            when rated.is_cancelled then 'cancellation'
            when rated.is_returned or (lines.sold_lines = 0 and lines.returned_lines > 0) then 'return'
            when lines.sold_lines = 0 then 'adjustment'
            when rated.state = 'pending' and coalesce(lines.original_gross_amount, rated.total_amount, 0) = 0 then 'pending'
            else {{ label("'sale'") }}
        end as order_type,
        case when lines.line_count > 0 then 'lines' else coalesce(lines.total_basis, {{ label("'none'") }}) end as amount_basis,
        {{ amount('coalesce(lines.quantity, 0)') }} as quantity,
        {%- for measure in ['gross_amount', 'discount_amount', 'return_amount', 'net_amount'] %}
        {{ amount('case when rated.exchange_rate is not null then coalesce(lines.' ~ measure ~ ', 0) end') }} as {{ measure }},
        {{ amount('coalesce(lines.original_' ~ measure ~ ', 0)') }} as original_{{ measure }},
        {%- endfor %}
        lines.cost_amount,
        lines.margin_amount,
        {{ amount('coalesce(' ~ converted('rated.shipping_amount', 'rated.exchange_rate') ~ ', lines.shipping_amount)') }} as shipping_amount,
        {{ amount('coalesce(' ~ converted('rated.tax_amount', 'rated.exchange_rate') ~ ', lines.tax_amount)') }} as tax_amount,
        case
            when rated.is_cancelled or lines.sold_lines = 0 or rated.refund_amount is null then 0
            else greatest(abs(rated.refund_amount) - coalesce(lines.original_return_amount, 0), 0)
        end as original_refund_amount
    from rated
    left join lines on lines.order_id = rated.order_id

)

select
    summed.order_id,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    coalesce(stores.store_key, 'unknown') as store_key,
    summed.order_date,
    cast(extract(hour from {{ local_time('summed.ordered_at') }}) as integer) as order_hour,
    summed.ordered_at,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    summed.order_type,
    summed.status,
    summed.state,
    summed.channel,
    summed.store_id,
    summed.campaign,
    summed.amount_currency as currency,
    summed.exchange_rate,
    summed.amount_basis,
    summed._source as source,
    summed.line_count,
    summed.returned_lines,
    summed.quantity,
    summed.gross_amount,
    summed.discount_amount,
    summed.return_amount,
    summed.net_amount,
    summed.cost_amount,
    summed.margin_amount,
    {{ converted('summed.original_refund_amount', 'summed.exchange_rate') }} as refund_amount,
    summed.shipping_amount,
    summed.tax_amount,
    {{ converted('summed.total_amount', 'summed.exchange_rate') }} as total_amount,
    {{ amount(unexplained_amount('summed', converted('summed.total_amount', 'summed.exchange_rate'))) }} as unexplained_amount,
    paid.paid_amount,
    paid.refunded_amount,
    summed.original_gross_amount,
    summed.original_discount_amount,
    summed.original_return_amount,
    summed.original_net_amount,
    summed.total_amount as original_total_amount
from summed
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = summed.customer_id and {{ valid_at('customers', 'summed.ordered_at') }}
left join {{ ref('dim_store') }} as stores on stores.store_id = summed.store_id
left join paid on paid.order_id = summed.order_id
