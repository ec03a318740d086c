{{ config(severity='warn', meta={
    'dimension': 'uniqueness', 'weight': 0.2, 'rule': 'double_customer', 'table': 'clean.customers',
    'description': 'no e-mail address, and no name with phone number, belongs to two customer ids',
    'tested': 'select count(*) from clean.customers where email is not null or phone is not null',
    'finds': {'entity': '_entity', 'source': '_source', 'key': 'customer_id', 'family': 'customer_id', 'field': 'customer_id'}}) }}
with known as (

    select
        customer_id, email, first_name, last_name, phone, signup_at, _entity, _source,
        lower(email) as email_name, lower(first_name) as given_name, lower(last_name) as family_name
    from {{ ref('customers') }}

),

same_email as (

    select
        customer_id,
        first_value(customer_id) over (partition by email_name order by signup_at nulls last, customer_id) as first_customer_id
    from known
    where email_name is not null

),

same_person as (

    select
        customer_id,
        first_value(customer_id) over (
            partition by given_name, family_name, phone
            order by signup_at nulls last, customer_id
        ) as first_customer_id
    from known
    where given_name is not null and family_name is not null and phone is not null

)

select
    known.customer_id,
    case
        when same_email.first_customer_id <> known.customer_id then same_email.first_customer_id
        else same_person.first_customer_id
    end as first_customer_id,
    known.email, known.first_name, known.last_name, known.phone, known.signup_at, known._entity, known._source
from known
left join same_email on same_email.customer_id = known.customer_id
left join same_person on same_person.customer_id = known.customer_id
where same_email.first_customer_id <> known.customer_id or same_person.first_customer_id <> known.customer_id
