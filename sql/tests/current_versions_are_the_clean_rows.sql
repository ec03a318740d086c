{{ config(meta={'dimension': 'consistency', 'table': 'warehouse.dim_customers', 'rows': false,
    'description': 'the current version of each customer and product has the values of its clean row',
    'tested': 'select count(*) from warehouse.dim_customers where is_current'}) }}
with clean as (

    select customer_id as id, first_name, last_name, email, country, city, signup_at, {{ amount('null') }} as unit_price
    from {{ ref('customers') }}
    where customer_id <> 'unknown'
    union all
    select product_id, coalesce(name, product_id), coalesce(category, 'Unknown'), subcategory, brand, null, null, unit_price
    from {{ ref('products') }}
    where product_id <> 'unknown'

),

present as (

    select customer_id as id, first_name, last_name, email, country, city, signup_at, {{ amount('null') }} as unit_price
    from {{ ref('dim_customers') }}
    where is_current and not is_unknown
    union all
    select product_id, name, category, subcategory, brand, null, null, unit_price
    from {{ ref('dim_products') }}
    where is_current and not is_unknown

)

(select * from clean except all select * from present)
union all
(select * from present except all select * from clean)
