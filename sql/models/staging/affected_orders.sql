-- One row per order whose clean rows an increment recomputes: it, or its customer, has lost or gained a row since the
-- models were built.
with changed as (

    select entity, key, order_id, customer_id
    from {{ source('ops', 'changed_keys') }}

),

named as (

    select order_id
    from changed
    where order_id is not null and entity <> 'events'

),

-- A payment that moves from one order to another affects both.
moved as (

    select order_id
    from {{ source('stage', 'payments') }}
    where order_id is not null and _key in (select key from changed where entity = 'payments')

),

-- An order waits for its customer, whom customers and order lines make known.
waiting as (

    select order_id
    from {{ source('stage', 'orders') }}
    where order_id is not null and '{{ var("unknown_customers") }}' = 'quarantine'
        and customer_id in (select customer_id from changed where entity in ('customers', 'order_lines'))

)

select order_id from named
union
select order_id from moved
union
select order_id from waiting
