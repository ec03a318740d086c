-- One row: the warehouse in a few numbers.
select
    (select count(*) from clean.order_items) as clean_rows,
    (select count(*) from warehouse.fact_orders) as all_orders,
    (select count(*) from warehouse.fact_sessions) as sessions,
    coalesce(sum(orders), 0) as orders,
    coalesce(sum(cancelled_orders), 0) as cancelled_orders,
    coalesce(sum(gross_amount), 0) as gross_amount,
    coalesce(sum(discount_amount), 0) as discount_amount,
    coalesce(sum(return_amount), 0) as return_amount,
    coalesce(sum(net_amount), 0) as net_amount,
    min(order_date) as first_date,
    max(order_date) as last_date
from analytics.daily_sales
