-- One row per order and product that an older document states, and the newest statement of the order, which counts, does
-- not, though no total of the order says that it is right: pieces of an order, or what came back, look like it too.
{{ config(schema='quality') }}
with restated as (

    {% for entity in ['order_items', 'order_lines'] %}
    select
        lines._source as source, lines.order_id, lines.product_id, lines._source_file as source_file,
        sum(abs(coalesce(lines.line_total, lines.quantity * lines.unit_price, lines.line_amount))) as amount
    from {{ ref('dispositions_' ~ entity) }} as dispositions
    inner join {{ source('stage', entity) }} as lines on {{ same_row('dispositions', 'lines') }}
    where dispositions.rule = 'restated' and not {{ came_back('lines') }}
    group by lines._source, lines.order_id, lines.product_id, lines._source_file
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- Of several older statements the one with most of the product.
largest as (

    select source, order_id, product_id, min(source_file) as source_file, max(amount) as amount
    from restated
    group by source, order_id, product_id

),

counted as (

    select distinct items.order_id, items.product_id, items._source_file as source_file
    from {{ ref('order_items') }} as items
    where items.order_id in (select order_id from largest)

),

newest as (

    select order_id, max(source_file) as source_file
    from counted
    group by order_id

)

select
    largest.source, largest.order_id, largest.product_id, largest.source_file, newest.source_file as counted_file,
    {{ amount('largest.amount * orders.exchange_rate') }} as amount
from largest
inner join {{ ref('fact_orders') }} as orders on orders.order_id = largest.order_id
inner join newest on newest.order_id = largest.order_id
left join counted on counted.order_id = largest.order_id and counted.product_id = largest.product_id
where counted.order_id is null and largest.amount > 0 and orders.order_type <> 'cancellation'
    and coalesce(orders.unexplained_amount > 0.005, true)
