-- One row per staged row of order_items that does not become a clean row of its own; one without its order waits.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'order_items'}) }}
with older_statements as (

    {{ older_statements('order_items') }}

),

staged as {{ inlined() }} (

    {{ staged_rows('order_items', version='updated_at', and_columns=(
        'order_id', 'line_number', 'unit_price', 'line_total', 'line_amount'
    )) }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('order_items') }}

),

totals as (

    select order_id, total_amount, discount_amount, shipping_amount, tax_amount
    from {{ ref('orders') }}

),

equal_lines as (

    {{ equal_rows('order_items') }}

),

states as (

    select order_id, state
    from {{ ref('orders') }}

),

priceless as (

    {{ rows_without_price('order_items') }}

),

waiting as (

    {{ rows_without_order() }}

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
union all
select * from waiting
