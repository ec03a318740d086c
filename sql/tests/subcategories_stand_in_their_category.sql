{{ config(severity='warn', meta={
    'dimension': 'consistency', 'weight': 0.3, 'rule': 'category_swap', 'table': 'stage.products',
    'description': 'a product is in the same category as the others of its subcategory',
    'tested': 'select count(*) from stage.products where subcategory is not null',
    'finds': {'entity': 'products', 'source': '_source', 'key': '_key', 'family': 'product_id', 'field': 'category'}}) }}
with listed as (

    select distinct
        product_id, name, category, subcategory, lower(category) as category_name, lower(subcategory) as subcategory_name,
        _source, _key
    from {{ source('stage', 'products') }}
    where _reject_rule is null and category is not null and subcategory is not null

),

placed as (

    select distinct product_id, category_name, subcategory_name
    from listed

),

pairs as (

    select category_name, subcategory_name, count(*) as products
    from placed
    group by category_name, subcategory_name

),

-- Where two sources agree, it is no mistake.
confirmed as (

    select product_id, category_name, subcategory_name
    from (select distinct product_id, category_name, subcategory_name, _source from listed) as by_source
    group by product_id, category_name, subcategory_name
    having count(*) > 1

),

-- A subcategory belongs to each category with three of its products.
judged as (

    select
        category_name, subcategory_name, products,
        sum(products) over (partition by subcategory_name) as all_products,
        sum(case when products >= 3 then products else 0 end) over (partition by subcategory_name) as products_at_home
    from pairs

)

select listed.product_id, listed.category, listed.subcategory, listed.name, listed._source, listed._key
from listed
inner join judged
    on judged.category_name = listed.category_name and judged.subcategory_name = listed.subcategory_name
left join confirmed
    on confirmed.product_id = listed.product_id and confirmed.category_name = listed.category_name
    and confirmed.subcategory_name = listed.subcategory_name
where confirmed.product_id is null and judged.products < 3 and judged.products_at_home * 4 >= judged.all_products * 3
