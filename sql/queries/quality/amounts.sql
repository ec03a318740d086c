-- One row per step of the money's way from the gross amount of the facts to the months, in the reporting currency. A
-- total's `amount` is what its level holds, its `change` by how much that differs from what the steps before it leave;
-- another step's `change` is what it removes.
with facts as (

    select
        coalesce(sum(gross_amount), 0) as gross, coalesce(sum(discount_amount), 0) as discounts,
        coalesce(sum(return_amount), 0) as returns, coalesce(sum(net_amount), 0) as net
    from warehouse.fact_order_items

),

steps as (

    select 1 as position, true as is_total, 'gross' as step, gross as moved, 'all lines sold, at their price' as description
    from facts
    union all
    select 2, false, 'discounts', 0 - discounts, 'discounts on lines and orders' from facts
    union all
    select 3, false, 'returns', 0 - returns, 'what came back or was cancelled' from facts
    union all
    select 4, true, 'net, by line', net, 'net revenue of the order lines' from facts
    union all
    select 5, true, 'net, by day', coalesce(sum(net_amount), 0), 'net revenue of the days' from analytics.daily_sales
    union all
    select 6, true, 'net, by month', coalesce(sum(net_amount), 0), 'net revenue of the months'
    from analytics.monthly_sales

),

-- Each total begins a new level, which the steps after it lower.
levels as (
    select steps.*, sum(case when is_total then 1 else 0 end) over (order by position) as level from steps
),

leveled as (
    select levels.*, sum(moved) over (partition by level order by position) as amount from levels
)

select
    step, cast(amount as double precision) as amount,
    cast(case when is_total then amount - lag(amount, 1, amount) over (order by position) else moved end as double precision)
        as change,
    is_total, description
from leveled
order by position
