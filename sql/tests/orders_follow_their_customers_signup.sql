{{ config(severity='warn', meta={
    'dimension': 'consistency', 'rule': 'ordered_before_signup', 'table': 'clean.orders',
    'description': 'no order is dated a day or more before its customer signed up',
    'tested': 'select count(*) from clean.orders as orders inner join clean.customers as customers on customers.customer_id = orders.customer_id where customers.signup_at is not null',
    'finds': {'entity': '_entity', 'source': '_source', 'key': 'order_id', 'family': 'order_id', 'field': 'ordered_at'}}) }}
select orders.order_id, orders.ordered_at, orders.customer_id, customers.signup_at, orders.channel, orders._entity, orders._source
from {{ ref('orders') }} as orders
inner join {{ ref('customers') }} as customers on customers.customer_id = orders.customer_id
where orders.ordered_at <= customers.signup_at - interval '1 day'
