-- One row per version of a product (SCD2), and one "unknown" for lines whose product no source names.
{%- set attributes = ['name', 'category', 'subcategory', 'brand', 'unit_price', 'unit_cost', 'currency', 'is_active'] %}
with versions as (

    {{ versions('products', 'product_id', attributes) }}

)

select
    {{ version_key('product_id', 'valid_from') }} as product_key,
    product_id, coalesce(name, product_id) as name, coalesce(category, 'Unknown') as category, subcategory, brand,
    {{ product_type('product_id', 'coalesce(name, product_id)') }} as product_type,
    unit_price, unit_cost, currency, is_active,
    valid_from, valid_to, is_current,
    false as is_unknown
from versions
union all
select
    'unknown', 'unknown', 'Unknown product', 'Unknown', null, null, {{ label("'product'") }},
    {{ amount('null') }}, {{ amount('null') }}, null, null,
    {{ first_moment() }}, {{ last_moment() }}, true,
    true
