-- One row per source, kind of money (sales, payments) and part of it: how many rows, of how many the amount in the shop's
-- currency (the first parameter) is not known, and what the others come to, without sign. Sales are order lines, or orders'
-- totals where their source has no lines. The parts `usable`, `unconverted`, `merged`, `quarantined` and `left_out` are
-- apart from each other; all but the last make up what was delivered. `repaired`, `converted` and `guessed` are of what is
-- usable, `guessed` also of what newest statements lack, and `unexplained` is by how much totals differ from their lines, or
-- from quantity and price. Rows that repeat what another file or source
-- states, or that a newer statement replaces, are in none.
with lines as (

    select
        order_id, line_number, source, exchange_rate, amount_basis,
        case when gross_amount <> 0 then gross_amount else return_amount end as amount
    from warehouse.fact_order_items

),

unclear_orders as (

    select order_id
    from clean.orders
    where state = 'unclear'

),

-- What rows state that they are worth, in the currency that they state.
stated as (

    select
        'order_lines' as entity, 'sales' as kind, _source, _source_file, _source_row, order_id, currency,
        abs(coalesce(line_total, quantity * unit_price, line_amount)) as amount
    from stage.order_lines
    union all
    select
        'order_items', 'sales', _source, _source_file, _source_row, order_id, cast(null as varchar),
        abs(coalesce(line_total, quantity * unit_price, line_amount))
    from stage.order_items
    union all
    select 'payments', 'payments', _source, _source_file, _source_row, order_id, currency, abs(amount)
    from stage.payments

),

-- Equal lines without a number that count, though no total says so.
equal_lines as (

    select stated._source as source, stated.order_id, stated.amount
    from stated
    inner join ops.equal_lines as equal_lines
        on equal_lines.entity = stated.entity and equal_lines.source = stated._source
        and equal_lines.source_file = stated._source_file and equal_lines.source_row = stated._source_row
    where equal_lines.outcome = 'kept'

),

guessed as (

    select source, amount
    from lines
    where amount_basis in ('list price', 'payments')
        or order_id in (select order_id from unclear_orders)
    union all
    select equal_lines.source, equal_lines.amount * orders.exchange_rate
    from equal_lines
    inner join warehouse.fact_orders as orders on orders.order_id = equal_lines.order_id
    where (orders.unexplained_amount is null or orders.unexplained_amount > 0.005)
        and orders.order_id not in (select order_id from unclear_orders)
    union all
    select source, amount
    from quality.dropped_lines

),

-- Lines whose total is not what the check `line_totals_agree_with_their_prices` expects, where no order's total bears it out.
disagreeing as (

    select
        lines.source,
        greatest(
            least(
                abs(abs(items.quantity * items.unit_price) - abs(coalesce(items.line_total, items.line_amount))),
                abs(abs(items.quantity * items.unit_price) - abs(coalesce(items.discount_amount, 0)) - abs(items.line_amount))
            ),
            abs(items.line_amount) - abs(items.line_total)
        ) * lines.exchange_rate as amount
    from clean.order_items as items
    inner join lines on lines.order_id = items.order_id and lines.line_number = items.line_number
    inner join warehouse.fact_orders as orders on orders.order_id = items.order_id
    where (items.line_total is not null or items.line_amount is not null)
        and orders.unexplained_amount is null and orders.order_type <> 'cancellation'
        and items.quantity is not null and items.unit_price is not null
        and not coalesce(
            (
                abs(abs(items.quantity * items.unit_price) - abs(coalesce(items.line_total, items.line_amount))) <= 0.005 * (abs(items.quantity) + 1)
                or abs(abs(items.quantity * items.unit_price) - abs(coalesce(items.discount_amount, 0)) - abs(items.line_amount)) <= 0.005 * (abs(items.quantity) + 1)
            )
            and (items.line_total is null or items.line_amount is null or abs(items.line_amount) <= abs(items.line_total) + 0.005),
            false
        )

),

repaired as (

    select items._source as source, lines.amount
    from ops.line_repairs as repairs
    inner join clean.order_items as items
        on items._source = repairs._source and items._source_file = repairs._source_file
        and items._source_row = repairs._source_row and items._entity = repairs._entity
    inner join lines on lines.order_id = items.order_id and lines.line_number = items.line_number

),

-- Rows that do not count: copies within a file, and what the mapping leaves out.
dispositions as (

    select 'order_lines' as entity, _source, _source_file, _source_row, disposition, rule
    from ops.dispositions_order_lines
    union all
    select 'order_items', _source, _source_file, _source_row, disposition, rule
    from ops.dispositions_order_items
    union all
    select 'payments', _source, _source_file, _source_row, disposition, rule
    from ops.dispositions_payments

),

set_aside as (

    select
        stated._source as source, stated.order_id, stated.kind, stated.currency,
        case when dispositions.disposition = 'left_out' then 'left_out' else 'merged' end as part,
        stated.amount
    from stated
    inner join dispositions
        on dispositions.entity = stated.entity and dispositions._source = stated._source
        and dispositions._source_file = stated._source_file and dispositions._source_row = stated._source_row
    where dispositions.rule = 'exact_duplicate' or dispositions.disposition = 'left_out'
    union all
    select
        _source, order_id, 'sales', currency, 'quarantined',
        abs(coalesce(line_total, quantity * unit_price, line_amount))
    from quarantine.order_lines
    union all
    select
        _source, order_id, 'sales', null, 'quarantined',
        abs(coalesce(line_total, quantity * unit_price, line_amount))
    from quarantine.order_items
    union all
    select _source, order_id, 'payments', currency, 'quarantined', abs(amount)
    from quarantine.payments
    union all
    select orders._source, orders.order_id, 'sales', orders.currency, 'quarantined', abs(orders.total_amount)
    from quarantine.orders as orders
    inner join ops.sources_without_lines as sources on sources.source = orders._source

),

-- Orders whose lines nobody delivers though their source has lines: their totals are in no figure.
without_lines as (

    select orders.source, abs(orders.total_amount) as amount
    from warehouse.fact_orders as orders
    where orders.amount_basis = 'none' and orders.total_amount <> 0 and orders.order_type <> 'cancellation'
        and orders.order_id not in (select order_id from set_aside where kind = 'sales' and order_id is not null)

),

parts as (

    select source, 'sales' as kind, case when exchange_rate is null then 'unconverted' else 'usable' end as part, amount
    from lines
    union all
    select source, 'sales', 'converted', amount from lines where exchange_rate <> 1
    union all
    select source, 'sales', 'repaired', amount from repaired
    union all
    select source, 'sales', 'guessed', amount from guessed
    union all
    select source, 'sales', 'usable', amount from without_lines
    union all
    select source, 'sales', 'unexplained', amount from without_lines
    union all
    select source, 'sales', 'unexplained', unexplained_amount
    from warehouse.fact_orders
    where unexplained_amount > 0.005 * (line_count + 3) and order_type <> 'cancellation'
    union all
    select source, 'sales', 'unexplained', amount from disagreeing
    union all
    select
        set_aside.source, set_aside.kind, set_aside.part,
        case
            when orders.exchange_rate is not null then set_aside.amount * orders.exchange_rate
            when set_aside.currency is null or set_aside.currency = ? then set_aside.amount
        end
    from set_aside
    left join warehouse.fact_orders as orders on orders.order_id = set_aside.order_id
    union all
    select
        payments._source, 'payments', case when facts.exchange_rate is null then 'unconverted' else 'usable' end,
        abs(facts.amount)
    from warehouse.fact_payments as facts
    inner join clean.payments as payments on payments.payment_id = facts.payment_id
    union all
    select payments._source, 'payments', 'converted', abs(facts.amount)
    from warehouse.fact_payments as facts
    inner join clean.payments as payments on payments.payment_id = facts.payment_id
    where facts.exchange_rate <> 1

)

select
    source, kind, part,
    count(*) as rows,
    count(*) - count(amount) as unread_rows,
    cast(coalesce(sum(amount), 0) as double precision) as amount
from parts
group by source, kind, part
order by source, kind desc nulls last, part
