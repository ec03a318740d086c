-- One row per thing that a reader of figures should know: how many orders or lines it is about, and what hangs on it.
select
    'basis' as kind, amount_basis as word, cast(null as varchar) as currency,
    count(*) as rows, sum(net_amount) as amount, sum(original_net_amount) as original_amount
from warehouse.fact_orders
where order_type = 'sale' or amount_basis <> 'none'
group by amount_basis
union all
select 'currency', case when exchange_rate is null then 'no rate' else 'converted' end, currency, count(*), sum(net_amount), sum(original_net_amount)
from warehouse.fact_orders
where original_gross_amount <> 0
group by case when exchange_rate is null then 'no rate' else 'converted' end, currency
union all
select 'refund', '', null, count(*), sum(refund_amount), null
from warehouse.fact_orders
where refund_amount > 0
union all
select 'state', state, null, count(*), sum(net_amount), null
from warehouse.fact_orders
where state in ('pending', 'failed')
group by state
union all
select 'unclear', status, null, count(*), sum(net_amount), null
from warehouse.fact_orders
where state = 'unclear'
group by status
union all
select 'event', word, null, cast(sum(rows) as bigint), null, null
from quality.unclear_words
where kind = 'event'
group by word
union all
select 'equal', outcome || ' by ' || decided_by, null, count(*), sum(amount), null
from ops.equal_lines
group by outcome || ' by ' || decided_by
union all
select 'credit', '', null, count(*), sum(return_amount), null
from warehouse.fact_order_items
where line_type = 'return' and unit_price < 0 and quantity > 0
union all
select 'line', amount_basis, null, count(*), sum(gross_amount), null
from warehouse.fact_order_items
where amount_basis in ('list price', 'none') and line_type = 'sale'
group by amount_basis
order by 1, 5 desc nulls last, 2, 3
