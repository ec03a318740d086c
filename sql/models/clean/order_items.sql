-- One row per order line, repaired where its order's total says how; lines that came without a small whole number of
-- their own get one after the numbered ones of their order. What a line comes to is settled here, whichever of its
-- amounts the source states.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
{%- set columns = [
    'line_id', 'product_id', 'product_name', 'quantity', 'unit_price', 'amount', 'discount_amount', 'discount_rate',
    'line_total', 'line_amount', 'shipping_amount', 'tax_amount', 'cost_amount', 'updated_at'
] %}
with delivered as (

    {{ accepted('order_items') }}

),

lines as (

    {{ accepted('order_lines') }}

),

delivered_lines as (

    select
        order_id, line_number as line_id, product_id, product_name, quantity, unit_price, discount_amount, discount_rate,
        line_total, line_amount, shipping_amount, tax_amount, unit_cost, cost_amount, margin_amount, is_return, updated_at,
        {{ label("'order_items'") }} as _entity, _source, _source_file, _source_row
    from delivered
    union all
    select
        order_id, line_number as line_id, product_id, product_name, quantity, unit_price, discount_amount, discount_rate,
        line_total, line_amount, line_shipping_amount, line_tax_amount, unit_cost, cost_amount, margin_amount, is_return,
        updated_at, {{ label("'order_lines'") }} as _entity, _source, _source_file, _source_row
    from lines

),

repairs as (

    select *
    from {{ ref('line_repairs') }}
    {{ where_affected('order_id', by='affected_orders') }}

),

repaired as (

    select
        delivered_lines.order_id, {{ own_line_number('delivered_lines.line_id') }} as line_number, delivered_lines.line_id,
        delivered_lines.product_id, delivered_lines.product_name,
        case when repairs.field = 'quantity' then cast(repairs.value as decimal(18, 3)) else delivered_lines.quantity end as quantity,
        case when repairs.field = 'unit_price' then repairs.value else delivered_lines.unit_price end as unit_price,
        delivered_lines.discount_amount, delivered_lines.discount_rate, delivered_lines.line_total,
        delivered_lines.line_amount, delivered_lines.shipping_amount, delivered_lines.tax_amount,
        delivered_lines.unit_cost, delivered_lines.cost_amount, delivered_lines.margin_amount, delivered_lines.is_return,
        delivered_lines.updated_at,
        delivered_lines._entity, delivered_lines._source, delivered_lines._source_file, delivered_lines._source_row
    from delivered_lines
    left join repairs
        on {{ same_row('delivered_lines', 'repairs') }} and repairs._entity = delivered_lines._entity

),

settled as (

    {{ settled_lines('repaired') }}

),

united as {{ inlined() }} (

    select
        order_id, line_number, line_id, product_id, product_name,
        settled_quantity as quantity, settled_unit_price as unit_price, amount, settled_discount as discount_amount,
        discount_rate, line_total, line_amount,
        case when is_back then -abs(shipping_amount) else shipping_amount end as shipping_amount,
        case when is_back then -abs(tax_amount) else tax_amount end as tax_amount,
        own_cost as cost_amount, updated_at, _entity, _source, _source_file, _source_row
    from settled

),

last_numbers as (

    select order_id, max(line_number) as last_number
    from united
    where order_id in (select order_id from united where line_number is null)
    group by order_id

),

numbered as (

    select
        united.order_id,
        cast(
            coalesce(last_numbers.last_number, 0) + row_number() over (
                partition by united.order_id
                order by united._source_file, united._source_row, united._source, united._entity
            ) as integer
        ) as line_number,
        {% for column in columns %}united.{{ column }}, {% endfor %}
        united._entity, united._source, united._source_file, united._source_row
    from united
    left join last_numbers on last_numbers.order_id = united.order_id
    where united.line_number is null

)

select
    order_id, line_number, {{ columns | join(', ') }},
    _entity, _source, _source_file, _source_row
from united
where line_number is not null
union all
select
    order_id, line_number, {{ columns | join(', ') }},
    _entity, _source, _source_file, _source_row
from numbered
