-- One row per currency in which there are amounts whose rate on their day is not known, orders and payments each.
select currency, 'orders' as entity, count(*) as rows
from warehouse.fact_orders
where exchange_rate is null
group by currency
union all
select currency, 'payments' as entity, count(*) as rows
from warehouse.fact_payments
where exchange_rate is null
group by currency
order by rows desc nulls last, currency, entity
