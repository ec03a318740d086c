-- One row per staged row of order_items that does not become a clean row of its own; one without its order waits.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'order_items'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('order_items', version='updated_at', and_columns=('order_id', 'unit_price', 'line_total', 'line_amount')) }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('order_items') }}

),

priceless as (

    {{ rows_without_price('order_items') }}

),

waiting as (

    {{ rows_without_order(and_where='not ' ~ is_priceless('staged', 'order_items')) }}

)

select * from refused
union all
select * from repeated
union all
select * from priceless
union all
select * from waiting
