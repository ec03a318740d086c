-- One row per staged row of order_lines that does not become a clean row of its own.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'order_lines'}) }}
with older_statements as (

    {{ older_statements('order_lines') }}

),

staged as {{ inlined() }} (

    {{ staged_rows('order_lines', and_columns=(
        'order_id', 'line_number', 'unit_price', 'line_total', 'line_amount', 'total_amount', 'order_discount_amount',
        'shipping_amount', 'tax_amount', 'status', 'cancelled_at'
    )) }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('order_lines') }}

),

totals as (

    select
        order_id,
        max(total_amount) as total_amount,
        max(abs(order_discount_amount)) as discount_amount,
        max(shipping_amount) as shipping_amount,
        max(tax_amount) as tax_amount
    from staged
    where rule is null and order_id in (select order_id from staged where {{ is_equal_line('staged') }})
    group by order_id

),

equal_lines as (

    {{ equal_rows('order_lines') }}

),

-- An order is cancelled, or waits, where nothing says otherwise.
states as (

    select
        order_id,
        case
            when max(cancelled_at) is not null then 'cancelled'
            when bool_and({{ order_state('status') }} in ('cancelled', 'pending', 'failed')) filter (where status is not null) then 'pending'
            else 'sale'
        end as state
    from staged
    where rule is null and order_id in (select order_id from staged where {{ is_priceless('staged', 'order_lines') }})
    group by order_id

),

priceless as (

    {{ rows_without_price('order_lines') }}

)

select * from refused
union all
select * from repeated
union all
select * from equal_lines
union all
select priceless.*
from priceless
left join equal_lines on {{ same_row('priceless', 'equal_lines') }}
where equal_lines._source is null
