-- One row per payment method.
select
    payment_method_key as payment_method,
    count(*) as payments,
    count(distinct case when paid_amount > 0 then order_id end) as orders,
    {{ amount('sum(paid_amount)') }} as paid_amount,
    {{ amount('sum(refunded_amount)') }} as refunded_amount,
    count(*) filter (where status in ('failed', 'declined')) as failed_payments
from {{ ref('fact_payments') }}
group by payment_method_key
