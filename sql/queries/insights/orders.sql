-- One row per type of order: how many there are, their lines, and what they brought.
select
    order_type,
    count(*) as orders,
    sum(line_count) as lines,
    sum(gross_amount) as gross_amount,
    sum(discount_amount) as discount_amount,
    sum(return_amount) as return_amount,
    sum(net_amount) as net_amount,
    sum(margin_amount) as margin_amount
from warehouse.fact_orders
group by order_type
order by order_type
