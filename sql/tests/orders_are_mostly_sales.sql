{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.orders', 'refuses': true, 'finding': true, 'field': 'state',
    'description': 'most orders are sales, and not cancelled, failed or pending',
    'tested': 'select count(*) from (select distinct _source from clean.orders) as sources'}) }}
-- Of a source that delivers returns alone all orders may be returned, so these count only where the whole shop has no sale.
with orders as (

    select
        _source as source, count(*) as orders,
        count(*) filter (where state in ('cancelled', 'failed', 'pending', 'returned')) as undone,
        count(*) filter (where state = 'returned') as returned,
        count(*) filter (where cancelled_at is not null) as dated,
        min(case when cancelled_at is null and state <> 'sale' then status end) as status
    from {{ ref('orders') }}
    group by _source

),

shop as (

    select sum(orders) as orders, sum(undone) as undone
    from orders

)

select
    orders.source, orders.orders, orders.undone, orders.returned,
    'hardly any order of ' || orders.source || ' is a sale: ' || cast(orders.undone as varchar) || ' of '
    || cast(orders.orders as varchar) || ' are cancelled, failed, pending or returned'
    || case
        when orders.dated * 2 > orders.undone
            then ', most of them by a time of cancelling: does `cancelled_at` in `columns` name a column that other orders have too?'
        else ', such as by the status ' || coalesce(orders.status, '') || ': `models.statuses` says what each means, `status` in'
            || ' `columns` in which column it is'
    end as finding
from orders
cross join shop
where orders.orders >= 10
    and (
        (orders.undone - orders.returned) * 20 > orders.orders * 19
        or (shop.undone * 20 > shop.orders * 19 and orders.undone * 20 > orders.orders * 19)
    )
