-- One row per staged row of orders that does not become a clean row of its own; one whose customer is unknown waits.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'orders'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('orders', version='coalesce(updated_at, _stated_at)', and_columns=('customer_id',)) }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('orders') }}

),

waiting as (

    {{ rows_without_customer() }}

)

select * from refused
union all
select * from repeated
union all
select * from waiting
