-- One row per product: from the products that sources deliver, and from order lines for all others; where no
-- source delivers products, those that order items name are known by their id alone.
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

-- People type remarks such as "damaged" into the name of a few lines: the most frequent name is the product's.
names as (

    select
        product_id, product_name,
        row_number() over (
            partition by product_id
            order by count(*) desc nulls last, max(ordered_at) desc nulls last, product_name
        ) as place
    from undelivered
    where product_name is not null
    group by product_id, product_name

),

latest as (

    select
        *,
        row_number() over (
            partition by product_id
            order by
                ordered_at desc nulls last, _source_file desc nulls last, _source_row desc nulls last,
                _source desc nulls last
        ) as newest
    from undelivered

),

from_items as (

    select items.product_id, min(items._source) as _source, min(items._source_file) as _source_file
    from {{ ref('order_items') }} as items
    where items._entity = 'order_items'
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
    latest.product_id, names.product_name, latest.product_category, latest.product_subcategory, latest.product_brand,
    latest.product_unit_price, latest.product_unit_cost, latest.product_currency, latest.product_is_active,
    latest.product_updated_at, {{ label("'order_lines'") }} as _entity, latest._source, latest._source_file,
    latest._source_row
from latest
left join names on names.product_id = latest.product_id and names.place = 1
where latest.newest = 1
union all
select
    product_id, null, null, null, null, {{ amount('null') }}, {{ amount('null') }}, null, null, null,
    {{ label("'order_items'") }} as _entity, _source, _source_file, null
from from_items
