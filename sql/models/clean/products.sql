-- One row per product: from the products that sources deliver, and from order lines and the names of order items for
-- all others; where no source delivers products, those that order items do not name are known by their id alone.
{%- set texts = ['name', 'category', 'subcategory', 'brand'] %}
{%- set others = ['unit_price', 'unit_cost', 'currency', 'is_active', 'updated_at'] %}
with delivered as {{ inlined() }} (

    {{ accepted('products') }}

),

lines as (

    {{ accepted('order_lines') }}

),

undelivered as {{ inlined() }} (

    select lines.*
    from lines
    left join delivered on delivered.product_id = lines.product_id
    where delivered.product_id is null

),

-- People type remarks such as "damaged" into the name of a few lines: of texts the most frequent one is the product's.
{% for column in texts %}
{{ column }}_of_most as (

    {{ most_frequent('undelivered', 'product_id', 'product_' ~ column) }}

),
{% endfor %}

placed_lines as (

    select
        *,
        row_number() over (
            partition by product_id
            order by
                ordered_at desc nulls last, _source_file desc nulls last, _source_row desc nulls last,
                _source desc nulls last
        ) as place
    from undelivered

),

-- Of all other columns the newest value that a line states.
latest as (

    select
        product_id,
        {% for column in others + ['_source', '_source_file', '_source_row'] %}
        {{ first_stated(column if column.startswith('_') else 'product_' ~ column, 'place') }} as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from placed_lines
    group by product_id

),

-- Also lines without an article number: they are of an unknown product, which has their name.
naming_items as (

    select
        items.product_id, items.product_name, items.unit_price, items.line_total, items.line_amount, orders.ordered_at,
        items._source, items._source_file
    from {{ ref('order_items') }} as items
    left join {{ ref('orders') }} as orders on orders.order_id = items.order_id
    where items._entity = 'order_items' and items.product_name is not null
        and not exists (select 1 from undelivered where undelivered.product_id = items.product_id)
        and not exists (select 1 from delivered where delivered.product_id = items.product_id)

),

name_of_most_items as (

    {{ most_frequent('naming_items', 'product_id', 'product_name') }}

),

named_items as (

    select product_id, min(_source) as _source, min(_source_file) as _source_file
    from naming_items
    group by product_id

),

from_items as (

    select items.product_id, min(items._source) as _source, min(items._source_file) as _source_file
    from {{ ref('order_items') }} as items
    where items._entity = 'order_items'
        and not exists (select 1 from named_items where named_items.product_id = items.product_id)
        and not exists (select 1 from undelivered where undelivered.product_id = items.product_id)
        and not exists (select 1 from {{ source('stage', 'products') }})
    group by items.product_id

)

select
    product_id, name, category, subcategory, brand, unit_price, unit_cost, currency, is_active, updated_at,
    {{ label("'products'") }} as _entity, _source, _source_file, _source_row
from delivered
union all
select
    latest.product_id,
    {% for column in texts %}{{ column }}_of_most.product_{{ column }}, {% endfor %}
    {% for column in others %}latest.{{ column }}, {% endfor %}
    {{ label("'order_lines'") }} as _entity, latest._source, latest._source_file, latest._source_row
from latest
{% for column in texts %}
left join {{ column }}_of_most on {{ column }}_of_most.product_id = latest.product_id
{% endfor %}
union all
select
    named_items.product_id, name_of_most_items.product_name, null, null, null, {{ amount('null') }}, {{ amount('null') }},
    null, null, null, {{ label("'order_items'") }} as _entity, named_items._source, named_items._source_file, null
from named_items
inner join name_of_most_items on name_of_most_items.product_id = named_items.product_id
union all
select
    product_id, null, null, null, null, {{ amount('null') }}, {{ amount('null') }}, null, null, null,
    {{ label("'order_items'") }} as _entity, _source, _source_file, null
from from_items
