{{ config(severity='warn', meta={
    'dimension': 'validity', 'weight': 0.3, 'rule': 'price_outlier', 'table': 'stage.products',
    'description': 'no listed price is more than eight times as high or low as the product usually sells for',
    'finds': {'entity': 'products', 'source': '_source', 'key': '_key', 'family': 'product_id', 'field': 'unit_price'}}) }}
with unusual as (

    {{ unusual_prices() }}

)

select distinct
    listed.product_id, listed.name, listed.unit_price, unusual.usual_price, listed.unit_cost, listed._source, listed._key
from {{ source('stage', 'products') }} as listed
inner join unusual on unusual.product_id = listed.product_id and unusual.unit_price = listed.unit_price
where listed._reject_rule is null
