-- One row per order line, repaired where its order's total says how; lines that came without a number get one after the
-- numbered ones of their order.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
with delivered as (

    {{ accepted('order_items') }}

),

lines as (

    {{ accepted('order_lines') }}

),

delivered_lines as (

    select
        order_id, line_number, product_id, quantity, unit_price, discount_amount, updated_at,
        {{ label("'order_items'") }} as _entity, _source, _source_file, _source_row
    from delivered
    union all
    select
        order_id, line_number, product_id, quantity, unit_price, discount_amount, updated_at,
        {{ label("'order_lines'") }} as _entity, _source, _source_file, _source_row
    from lines

),

repairs as (

    select *
    from {{ ref('line_repairs') }}
    {{ where_affected('order_id', by='affected_orders') }}

),

united as {{ inlined() }} (

    select
        delivered_lines.order_id, delivered_lines.line_number, delivered_lines.product_id,
        case when repairs.field = 'quantity' then cast(repairs.value as decimal(18, 3)) else delivered_lines.quantity end as quantity,
        case when repairs.field = 'unit_price' then repairs.value else delivered_lines.unit_price end as unit_price,
        delivered_lines.discount_amount, delivered_lines.updated_at,
        delivered_lines._entity, delivered_lines._source, delivered_lines._source_file, delivered_lines._source_row
    from delivered_lines
    left join repairs
        on {{ same_row('delivered_lines', 'repairs') }} and repairs._entity = delivered_lines._entity

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
        united.product_id, united.quantity, united.unit_price, united.discount_amount, united.updated_at,
        united._entity, united._source, united._source_file, united._source_row
    from united
    left join last_numbers on last_numbers.order_id = united.order_id
    where united.line_number is null

)

select
    order_id, line_number, product_id, quantity, unit_price, discount_amount, updated_at,
    _entity, _source, _source_file, _source_row
from united
where line_number is not null
union all
select
    order_id, line_number, product_id, quantity, unit_price, discount_amount, updated_at,
    _entity, _source, _source_file, _source_row
from numbered
