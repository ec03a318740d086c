-- One row per payment; failed attempts and refunds are among them, by their status.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_facts'}) }}
with orders as (

    select *, cast({{ local_time('ordered_at') }} as date) as order_date
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

payments as (

    select *
    from {{ ref('payments') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

-- A payment that states no currency is in its order's. All are converted at the rate of their order's day, so that what
-- was paid and what was owed compare.
priced as (

    select
        payments.*, orders.ordered_at, orders.order_date, orders.customer_id,
        {{ currency_of('coalesce(payments.currency, orders.currency)') }} as amount_currency
    from payments
    inner join orders on orders.order_id = payments.order_id

),

converted as (

    select
        priced.*,
        {{ exchange_rate('priced.amount_currency', 'rates') }} as exchange_rate,
        {{ converted('priced.amount', exchange_rate('priced.amount_currency', 'rates')) }} as converted_amount
    from priced
    {{ join_rate('rates', 'priced.amount_currency', 'priced.order_date') }}

)

select
    converted.payment_id,
    converted.order_id,
    coalesce(methods.payment_method_key, 'unknown') as payment_method_key,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    cast({{ local_time('coalesce(converted.paid_at, converted.ordered_at)') }} as date) as payment_date,
    converted.paid_at,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    converted.status,
    converted.amount_currency as currency,
    converted.exchange_rate,
    {{ amount('converted.converted_amount') }} as amount,
    {{ amount("case when " ~ is_paid('converted.status') ~ " then converted.converted_amount else 0 end") }} as paid_amount,
    {{ amount("case when converted.status in ('refunded', 'refund') then abs(converted.converted_amount) else 0 end") }} as refunded_amount,
    {{ amount('converted.amount') }} as original_amount
from converted
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = converted.customer_id and {{ valid_at('customers', 'converted.ordered_at') }}
left join {{ ref('dim_payment_method') }} as methods on methods.payment_method_key = converted.method
