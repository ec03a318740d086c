-- One row per staged row of customers that does not become a clean row of its own.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'customers'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('customers', version='updated_at') }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('customers') }}

)

select * from refused
union all
select * from repeated
