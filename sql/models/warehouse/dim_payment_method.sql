-- One row per payment method, and one "unknown".
select
    method as payment_method_key,
    method as payment_method,
    false as is_unknown
from {{ ref('payments') }}
where method is not null and method <> 'unknown'
group by method
union all
select
    'unknown', 'unknown',
    true
