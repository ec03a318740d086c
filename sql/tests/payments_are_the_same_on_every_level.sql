{{ config(meta={'dimension': 'consistency', 'table': 'analytics.payment_summary', 'description': 'what was paid and refunded is the same by payment, order and payment method'}) }}
with totals as (

    select 'payments' as level, coalesce(sum(paid_amount), 0) as paid_amount, coalesce(sum(refunded_amount), 0) as refunded_amount
    from {{ ref('fact_payments') }}
    union all
    select 'orders', coalesce(sum(paid_amount), 0), coalesce(sum(refunded_amount), 0) from {{ ref('fact_orders') }}
    union all
    select 'methods', coalesce(sum(paid_amount), 0), coalesce(sum(refunded_amount), 0) from {{ ref('payment_summary') }}

)

select totals.*
from totals
inner join totals as payments on payments.level = 'payments'
where totals.paid_amount <> payments.paid_amount or totals.refunded_amount <> payments.refunded_amount
