-- One row per version of a customer (SCD2), and one "unknown" for orders without a known one.
{%- set attributes = [
    'first_name', 'last_name', 'email', 'phone', 'country', 'region', 'city', 'postal_code', 'signup_at'
] %}
with versions as (

    {{ versions('customers', 'customer_id', attributes) }}

)

select
    {{ version_key('customer_id', 'valid_from') }} as customer_key,
    customer_id, first_name, last_name, email, phone, country, region, city, postal_code, signup_at,
    valid_from, valid_to, is_current,
    false as is_unknown
from versions
union all
select
    'unknown', 'unknown', null, null, null, null, null, null, null, null, null,
    {{ first_moment() }}, {{ last_moment() }}, true,
    true
