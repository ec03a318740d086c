-- One row per payment; failed attempts and refunds are among them, by their status.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_facts'}) }}
with orders as (

    select *
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

payments as (

    select *
    from {{ ref('payments') }}
    {{ where_affected('order_id', by='affected_facts') }}

)

select
    payments.payment_id,
    payments.order_id,
    coalesce(methods.payment_method_key, 'unknown') as payment_method_key,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    cast({{ local_time('coalesce(payments.paid_at, orders.ordered_at)') }} as date) as payment_date,
    payments.paid_at,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    payments.status,
    payments.currency,
    {{ amount('payments.amount') }} as amount,
    {{ amount("case when " ~ is_paid('payments.status') ~ " then payments.amount else 0 end") }} as paid_amount,
    {{ amount("case when payments.status in ('refunded', 'refund') then abs(payments.amount) else 0 end") }} as refunded_amount
from payments
inner join orders on orders.order_id = payments.order_id
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = orders.customer_id and {{ valid_at('customers', 'orders.ordered_at') }}
left join {{ ref('dim_payment_method') }} as methods on methods.payment_method_key = payments.method
