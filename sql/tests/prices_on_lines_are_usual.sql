{{ config(severity='warn', meta={
    'dimension': 'validity', 'rule': 'price_outlier', 'table': 'stage.order_items',
    'description': 'no price on a line is more than eight times as high or low as the product usually sells for',
    'tested': 'select (select count(*) from stage.order_items) + (select count(*) from stage.order_lines)',
    'finds': {'entity': '_entity', 'source': '_source', 'key': '_key', 'family': 'order_id', 'field': 'unit_price'}}) }}
with unusual as (

    {{ unusual_prices() }}

)

{% for entity in ['order_items', 'order_lines'] -%}
select distinct
    lines.order_id, lines.line_number, lines.product_id, lines.unit_price, unusual.usual_price, lines.quantity,
    {{ label("'" ~ entity ~ "'") }} as _entity, lines._source, lines._key
from {{ source('stage', entity) }} as lines
inner join unusual on unusual.product_id = lines.product_id and unusual.unit_price = lines.unit_price
where lines._reject_rule is null
{{ 'union all' if not loop.last }}
{% endfor %}
