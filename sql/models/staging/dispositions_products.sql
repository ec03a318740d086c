-- One row per staged row of products that does not become a clean row of its own.
{{ config(unique_key='row_key', meta={'recomputed_by': 'affected_keys', 'entity': 'products'}) }}
with staged as {{ inlined() }} (

    {{ staged_rows('products', version='updated_at') }}

),

refused as (

    {{ refused_rows() }}

),

repeated as (

    {{ repeated_rows('products') }}

)

select * from refused
union all
select * from repeated
