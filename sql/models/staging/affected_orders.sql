-- One row per order whose clean rows an increment recomputes: it, or its customer, has lost or gained a row since the
-- models were built.
with named as (

    select order_id
    from {{ source('ops', 'changed_keys') }}
    where order_id is not null and entity <> 'events' and {{ unless_whole() }}

),

-- A payment that moves from one order to another touches both.
moved as (

    select payments.order_id
    from {{ source('stage', 'payments') }} as payments
    where payments.order_id is not null and {{ unless_whole() }}
        and {{ is_in('payments._key', source('ops', 'changed_keys'), 'key', 'payments') }}

),

-- An order waits for its customer, of whom customers and order lines tell.
customers as (

    select customer_id
    from {{ source('ops', 'changed_keys') }}
    where entity in ('customers', 'order_lines') and '{{ var("unknown_customers") }}' = 'quarantine' and {{ unless_whole() }}

),

named_by_customer as (

    select orders.order_id
    from {{ source('stage', 'orders') }} as orders
    where orders.order_id is not null and {{ unless_whole() }} and {{ is_in('orders.customer_id', 'customers', 'customer_id') }}

)

select order_id from named
union
select order_id from moved
union
select order_id from named_by_customer
