{{ config(severity='warn', meta={
    'dimension': 'validity', 'weight': 0.1, 'table': 'warehouse.fact_orders', 'finding': true, 'field': 'order_hour',
    'description': 'orders come at the hours of a shop, and not most of them at night or all at one hour',
    'tested': 'select count(*) from (select distinct source from warehouse.fact_orders) as sources'}) }}
{%- set on_the_hour = 'extract(minute from ordered_at) in (0, 15, 30, 45) and extract(second from ordered_at) = 0' %}
-- An order at midnight of the shop's clock is one of which only the date is known. Zones differ by quarters of an hour.
with hours as (

    select
        source, order_hour, count(*) as orders,
        count(*) filter (where {{ on_the_hour }}) as full_hours
    from {{ ref('fact_orders') }}
    where not (order_hour = 0 and {{ on_the_hour }})
    group by source, order_hour

),

by_source as (

    select
        source, sum(orders) as orders, sum(full_hours) as full_hours, count(*) as different_hours,
        min(order_hour) as first_hour, max(order_hour) as last_hour,
        coalesce(sum(orders) filter (where order_hour between 1 and 4), 0) as at_night
    from hours
    group by source

),

judged as (

    select
        source, orders, first_hour, last_hour,
        case
            when orders >= 5 and full_hours = orders and last_hour - first_hour <= 1 then
                'all orders of ' || source || ' are at ' || cast(first_hour as varchar) || ':00'
                || case when last_hour > first_hour then ' or ' || cast(last_hour as varchar) || ':00' else {{ label("''") }} end
                || ': dates of another time zone'
            when orders >= 50 and different_hours = 1 then
                'all orders of ' || source || ' are between ' || cast(first_hour as varchar) || ':00 and '
                || cast(first_hour + 1 as varchar) || ':00'
            when orders >= 50 and at_night * 2 > orders then
                'most orders of ' || source || ' are between 1 and 5 at night'
        end as hours
    from by_source

)

select
    source, cast(orders as bigint) as orders, first_hour as order_hour, last_hour,
    hours || '; `time_zone` of the source says in which zone its times are' as finding
from judged
where hours is not null
