-- One row per order whose clean rows an increment recomputes: it has lost or gained a row since the models were built.
with named as (

    select order_id
    from {{ source('ops', 'touched') }}
    where order_id is not null and entity <> 'events' and {{ unless_whole() }}

),

-- A payment that moves from one order to another touches both.
moved as (

    select payments.order_id
    from {{ source('stage', 'payments') }} as payments
    where payments.order_id is not null and {{ unless_whole() }}
        and {{ is_in('payments._key', source('ops', 'touched'), 'key', 'payments') }}

)

select order_id from named
union
select order_id from moved
