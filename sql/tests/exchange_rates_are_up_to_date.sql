{{ config(severity='warn', meta={
    'dimension': 'timeliness', 'table': 'warehouse.fact_orders', 'field': 'exchange_rate',
    'description': 'no order is converted at a rate that is more than a month older'}) }}
select orders.order_id, orders.order_date, orders.currency, orders.exchange_rate, rates.quoted_on, orders.source
from {{ ref('fact_orders') }} as orders
inner join {{ ref('dim_exchange_rate') }} as rates
    on rates.currency = orders.currency and rates.rate_date = orders.order_date
where rates.quoted_on < orders.order_date - interval '31 days'
