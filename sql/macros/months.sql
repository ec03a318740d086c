{# Which months the data hold whole, going by the shop's own rhythm: one row per month with an order, `is_complete`.

   The rhythm is how many days in a row usually pass without an order: so many at most in nine of ten cases, and one at
   least; it is known from eight days with an order on. A month is complete unless

   - it is the data's first or last one, and more days than that pass without an order at its open end: a shop that sells
     daily has all of May where its last order is of the 30th, one that sells weekly where it is of the 25th;
   - more than half of it is in a stretch without orders that is over ten times as long as that: data are missing, or the
     shop was shut;
   - it is at the end of the data, and it and each later month have less than a tenth of the usual month's orders (the
     median), or it has a single order where a usual month has more: what trickles in after the data proper. #}
{% macro month_completeness(daily_sales) -%}
with order_days as (

    select
        order_date,
        {{ month_of('order_date') }} as month,
        cast({{ month_of('order_date') }} + interval '1 month' - interval '1 day' as date) as month_end,
        orders,
        {{ days_between('lag(order_date) over (order by order_date)', 'order_date') }} - 1 as silent_before,
        {{ days_between('order_date', 'lead(order_date) over (order by order_date)') }} - 1 as silent_after
    from {{ daily_sales }}
    where orders > 0 or cancelled_orders > 0 or gross_amount <> 0 or return_amount <> 0

),

silences as (

    select silent_before as silent_days, cume_dist() over (order by silent_before) as part_up_to
    from order_days
    where silent_before is not null

),

rhythm as (

    select
        count(*) >= 7 as is_known,
        case when count(*) >= 7 then greatest(min(case when part_up_to >= 0.9 then silent_days end), 1) else 1 end as usual_days
    from silences

),

by_month as (

    select
        order_days.month,
        cast(sum(order_days.orders) as bigint) as orders,
        {{ days_between('order_days.month', 'min(order_days.order_date)') }} as days_before,
        {{ days_between('max(order_days.order_date)', 'max(order_days.month_end)') }} as days_after,
        max(
            greatest(
                case
                    when order_days.silent_before > 10 * rhythm.usual_days
                        then least(order_days.silent_before, {{ days_between('order_days.month', 'order_days.order_date') }})
                    else 0
                end,
                case
                    when order_days.silent_after > 10 * rhythm.usual_days
                        then least(order_days.silent_after, {{ days_between('order_days.order_date', 'order_days.month_end') }})
                    else 0
                end
            )
        ) as days_in_gap
    from order_days
    cross join rhythm
    group by order_days.month

),

ranked as (

    select orders, cume_dist() over (order by orders) as part_up_to
    from by_month
    where orders > 0

),

usual_month as (

    select min(case when part_up_to >= 0.5 then orders end) as usual_orders
    from ranked

),

compared as (

    select
        by_month.*,
        rhythm.is_known,
        rhythm.usual_days,
        usual_month.usual_orders,
        row_number() over (order by by_month.month) = 1 as is_first,
        row_number() over (order by by_month.month desc nulls last) = 1 as is_last,
        max(by_month.orders) over (
            order by by_month.month rows between current row and unbounded following
        ) as most_orders_from_here
    from by_month
    cross join rhythm
    cross join usual_month

)

select
    month,
    orders > 0
        and not (is_first and days_before > usual_days)
        and not (is_last and days_after > usual_days)
        and not (is_known and days_in_gap > 15)
        and not (most_orders_from_here * 10 < usual_orders)
        and not (is_last and orders = 1 and usual_orders > 1) as is_complete
from compared
{%- endmacro %}
