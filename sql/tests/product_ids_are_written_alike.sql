{{ config(severity='warn', meta={
    'dimension': 'validity', 'weight': 0.1, 'rule': 'odd_product_id', 'table': 'clean.products',
    'description': 'product ids have the form of most others (one that does not is often postage, a fee or a correction)',
    'finds': {'entity': '_entity', 'source': '_source', 'key': 'product_id', 'family': 'product_id', 'field': 'product_id'}}) }}
with written as (

    select
        product_id, name, category, _entity, _source,
        case
            when substr(product_id, 1, 1) between '0' and '9' then 'digit first'
            when translate(product_id, '0123456789', '') <> product_id then 'digits later'
            else {{ label("'no digit'") }}
        end as form
    from {{ ref('products') }}
    where product_id <> 'unknown'

),

forms as (

    select form, count(*) as products
    from written
    group by form

),

judged as (

    select
        form, products,
        sum(products) over () as all_products,
        max(products) over () as most_products
    from forms

)

select written.product_id, written.name, written.category, written._entity, written._source
from written
inner join judged on judged.form = written.form
where judged.products * 50 < judged.all_products and judged.most_products * 20 >= judged.all_products * 19
