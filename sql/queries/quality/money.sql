-- One row per source, kind of money (sales, payments) and part of it: how many rows, of how many the amount cannot be read,
-- and what the others come to, without sign. Sales are order lines, or orders' totals where a source delivers none. The
-- parts `usable`, `merged`, `quarantined` and `left_out` are apart from each other and make up what was delivered; `repaired`,
-- `converted` and `guessed` are of what is usable, and `unexplained` is by how much totals differ from their lines. Rows
-- that repeat what another file or source states are in none.
with lines as (

    select
        order_id, line_number, source,
        case when gross_amount <> 0 then gross_amount else return_amount end as amount
    from warehouse.fact_order_items

),

repaired as (

    select items._source as source, lines.amount
    from ops.line_repairs as repairs
    inner join clean.order_items as items
        on items._source = repairs._source and items._source_file = repairs._source_file
        and items._source_row = repairs._source_row and items._entity = repairs._entity
    inner join lines on lines.order_id = items.order_id and lines.line_number = items.line_number

),

merged as (

    select staged._source as source, abs(coalesce(staged.line_total, staged.line_amount, staged.quantity * staged.unit_price)) as amount
    from stage.order_items as staged
    inner join ops.dispositions_order_items as dispositions
        on dispositions._source = staged._source and dispositions._source_file = staged._source_file
        and dispositions._source_row = staged._source_row
    where dispositions.rule = 'exact_duplicate'
    union all
    select staged._source, abs(coalesce(staged.line_total, staged.line_amount, staged.quantity * staged.unit_price))
    from stage.order_lines as staged
    inner join ops.dispositions_order_lines as dispositions
        on dispositions._source = staged._source and dispositions._source_file = staged._source_file
        and dispositions._source_row = staged._source_row
    where dispositions.rule = 'exact_duplicate'

),

quarantined as (

    select _source as source, abs(coalesce(line_total, line_amount, quantity * unit_price)) as amount from quarantine.order_items
    union all
    select _source, abs(coalesce(line_total, line_amount, quantity * unit_price)) from quarantine.order_lines

),

-- As the check order_totals_agree_with_their_lines has it: tax included or on top.
unexplained as (

    select
        source,
        least(
            abs(total_amount - gross_amount + discount_amount - coalesce(shipping_amount, 0)),
            abs(total_amount - gross_amount + discount_amount - coalesce(shipping_amount, 0) - coalesce(tax_amount, 0))
        ) as amount
    from warehouse.fact_orders
    where total_amount is not null and line_count > 0 and order_type <> 'cancellation'

),

parts as (

    select source, 'sales' as kind, 'usable' as part, amount from lines
    union all
    select source, 'sales', 'repaired', amount from repaired
    union all
    select source, 'sales', 'merged', amount from merged
    union all
    select source, 'sales', 'quarantined', amount from quarantined
    union all
    select source, 'sales', 'unexplained', amount from unexplained where amount > 0.005
    union all
    select orders._source, 'sales', 'quarantined', abs(orders.total_amount)
    from quarantine.orders as orders
    inner join ops.sources_without_lines as known_by_total on known_by_total.source = orders._source
    union all
    select _source, 'payments', 'usable', abs(amount) from clean.payments
    union all
    select _source, 'payments', 'quarantined', abs(amount) from quarantine.payments

)

select
    source, kind, part,
    count(*) as rows,
    count(*) - count(amount) as unread_rows,
    cast(coalesce(sum(amount), 0) as double precision) as amount
from parts
group by source, kind, part
order by source, kind desc nulls last, part
