-- One row per customer with their present attributes, and one "unknown" for orders without one.
select
    customer_id as customer_key,
    customer_id, first_name, last_name, email, phone, country, region, city, postal_code, signup_at,
    false as is_unknown
from {{ ref('customers') }}
where customer_id <> 'unknown'
union all
select
    'unknown', null, null, null, null, null, null, null, null, null, null,
    true
