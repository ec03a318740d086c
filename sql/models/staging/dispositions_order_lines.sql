-- One row per staged row of order_lines that does not become a clean row of its own.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'order_lines'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('order_lines', and_columns=('unit_price', 'line_total', 'line_amount')) }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('order_lines') }}

),

priceless as (

    {{ rows_without_price('order_lines') }}

)

select * from refused
union all
select * from repeated
union all
select * from priceless
