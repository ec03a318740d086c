-- One row per staged row of payments that does not become a clean row of its own; one without its order waits.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'payments'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('payments', version='updated_at', and_columns=('order_id',)) }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('payments') }}

),

waiting as (

    {{ rows_without_order() }}

)

select * from refused
union all
select * from repeated
union all
select * from waiting
