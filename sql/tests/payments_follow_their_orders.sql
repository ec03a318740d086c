{{ config(severity='warn', meta={
    'dimension': 'consistency', 'rule': 'paid_before_ordered', 'table': 'clean.payments',
    'description': 'no order is paid a day or more before it is placed',
    'tested': 'select count(*) from clean.payments where paid_at is not null',
    'finds': {'entity': 'payments', 'source': '_source', 'key': 'payment_id', 'family': 'order_id', 'field': 'paid_at'}}) }}
select payments.payment_id, payments.order_id, payments.paid_at, orders.ordered_at, payments.amount, payments.status, payments._source
from {{ ref('payments') }} as payments
inner join {{ ref('orders') }} as orders on orders.order_id = payments.order_id
where payments.paid_at <= orders.ordered_at - interval '1 day'
