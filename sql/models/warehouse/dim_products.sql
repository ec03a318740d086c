-- One row per product with its present attributes, and one "unknown" for lines whose product no source names.
select
    product_id as product_key,
    product_id, coalesce(name, product_id) as name, coalesce(category, 'Unknown') as category, subcategory, brand,
    unit_price, unit_cost, is_active,
    false as is_unknown
from {{ ref('products') }}
where product_id <> 'unknown'
union all
select
    'unknown', null, 'Unknown product', 'Unknown', null, null, {{ amount('null') }}, {{ amount('null') }}, null,
    true
