{{ config(severity='warn', meta={
    'dimension': 'validity', 'rule': 'amount_outlier', 'table': 'clean.payments',
    'description': "no payment is more than eight times its order's value",
    'finds': {'entity': 'payments', 'source': '_source', 'key': 'payment_id', 'family': 'order_id', 'field': 'amount'}}) }}
with valued as (

    select order_id, coalesce(total_amount, gross_amount - discount_amount + coalesce(shipping_amount, 0)) as order_amount
    from {{ ref('fact_orders') }}

)

select payments.payment_id, payments.order_id, payments.amount, valued.order_amount, payments.method, payments.status, payments._source
from {{ ref('payments') }} as payments
inner join valued on valued.order_id = payments.order_id
inner join {{ ref('fact_payments') }} as facts on facts.payment_id = payments.payment_id
where valued.order_amount > 0 and abs(facts.amount) > 8 * valued.order_amount
