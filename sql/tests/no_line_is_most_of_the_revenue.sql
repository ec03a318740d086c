{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'warehouse.fact_order_items', 'refuses': true, 'finding': true, 'field': 'gross_amount',
    'description': 'no line of many is worth more than all others together',
    'tested': 'select count(*) from (select source from warehouse.fact_orders group by source having sum(line_count) >= 10) as sources'}) }}
-- It is a barcode or an id in the column of quantities or prices, or a total. A few of them together are it where all
-- others hardly count.
with sums as (

    select
        source, count(*) as lines, sum(gross_amount + case when gross_amount = 0 then return_amount else 0 end) as amount
    from {{ ref('fact_order_items') }}
    group by source
    having count(*) >= 10

),

largest as (

    select
        items.source, items.order_id, items.product_id, items.quantity, items.unit_price, sums.lines, sums.amount,
        items.gross_amount + case when items.gross_amount = 0 then items.return_amount else 0 end as own_amount,
        row_number() over (
            partition by items.source
            order by
                items.gross_amount + case when items.gross_amount = 0 then items.return_amount else 0 end desc nulls last,
                items.order_id, items.line_number
        ) as place
    from sums
    inner join {{ ref('fact_order_items') }} as items on items.source = sums.source
    where (items.gross_amount + case when items.gross_amount = 0 then items.return_amount else 0 end) * 20 > sums.amount

),

judged as (

    select
        source, min(lines) as lines, min(amount) as amount, max(own_amount) as most, sum(own_amount) as together,
        count(*) as largest
    from largest
    group by source

)

select
    largest.source, largest.order_id, largest.product_id, largest.quantity, largest.unit_price, largest.own_amount, largest.lines,
    'one line of ' || largest.source || ' (of order ' || largest.order_id || ', product ' || largest.product_id || ') is worth '
    || cast(cast(100 * {{ share('largest.own_amount', 'largest.amount') }} as integer) as varchar) || ' % of all '
    || cast(largest.lines as varchar) || ': is its quantity or price an id, or the line a total? Correct it, or leave it out by'
    || ' `where`; `quantity` and `unit_price` in `columns` say where they are' as finding
from judged
inner join largest on largest.source = judged.source and largest.place = 1
where judged.amount > 0
    and (
        (judged.lines >= 50 and judged.most * 2 > judged.amount)
        or judged.most * 100 > judged.amount * 99
        or (judged.lines >= 50 and judged.largest * 10 <= judged.lines and judged.together * 100 > judged.amount * 99)
    )
