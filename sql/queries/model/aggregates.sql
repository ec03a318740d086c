-- One row per measure of an aggregate: what it sums to, and what the facts do.
with lines as (

    select
        coalesce(sum(gross_amount), 0) as gross_amount,
        coalesce(sum(discount_amount), 0) as discount_amount,
        coalesce(sum(return_amount), 0) as return_amount,
        coalesce(sum(net_amount), 0) as net_amount
    from warehouse.fact_order_items

),

orders as (

    select
        count(*) filter (where order_type = 'sale') as orders,
        count(*) filter (where order_type = 'cancellation') as cancelled_orders,
        coalesce(sum(refund_amount), 0) as refund_amount
    from warehouse.fact_orders

),

known as (

    select count(*) as customers, coalesce(sum(orders), 0) as orders, coalesce(sum(net_amount), 0) as net_amount
    from (
        select
            customer_id,
            count(*) filter (where order_type = 'sale') as orders,
            sum(net_amount) as net_amount
        from warehouse.fact_orders
        where customer_id <> 'unknown'
        group by customer_id
    ) as customers
    where orders > 0

),

payments as (

    select
        count(*) as payments,
        coalesce(sum(paid_amount), 0) as paid_amount,
        coalesce(sum(refunded_amount), 0) as refunded_amount
    from warehouse.fact_payments

),

sessions as (

    select count(*) as sessions, coalesce(sum(purchase_amount), 0) as purchase_amount
    from warehouse.fact_sessions

),

compared as (

    select 'daily_sales' as aggregate, 'orders' as measure, (select orders from orders) as facts, coalesce(sum(orders), 0) as found from analytics.daily_sales
    union all
    select 'daily_sales', 'cancelled_orders', (select cancelled_orders from orders), coalesce(sum(cancelled_orders), 0) from analytics.daily_sales
    union all
    select 'daily_sales', 'gross_amount', (select gross_amount from lines), coalesce(sum(gross_amount), 0) from analytics.daily_sales
    union all
    select 'daily_sales', 'discount_amount', (select discount_amount from lines), coalesce(sum(discount_amount), 0) from analytics.daily_sales
    union all
    select 'daily_sales', 'return_amount', (select return_amount from lines), coalesce(sum(return_amount), 0) from analytics.daily_sales
    union all
    select 'daily_sales', 'net_amount', (select net_amount from lines), coalesce(sum(net_amount), 0) from analytics.daily_sales
    union all
    select 'daily_sales', 'refund_amount', (select refund_amount from orders), coalesce(sum(refund_amount), 0) from analytics.daily_sales
    union all
    select 'monthly_sales', 'orders', (select orders from orders), coalesce(sum(orders), 0) from analytics.monthly_sales
    union all
    select 'monthly_sales', 'gross_amount', (select gross_amount from lines), coalesce(sum(gross_amount), 0) from analytics.monthly_sales
    union all
    select 'monthly_sales', 'net_amount', (select net_amount from lines), coalesce(sum(net_amount), 0) from analytics.monthly_sales
    union all
    select 'channel_sales', 'orders', (select orders from orders), coalesce(sum(orders), 0) from analytics.channel_sales
    union all
    select 'channel_sales', 'gross_amount', (select gross_amount from lines), coalesce(sum(gross_amount), 0) from analytics.channel_sales
    union all
    select 'channel_sales', 'net_amount', (select net_amount from lines), coalesce(sum(net_amount), 0) from analytics.channel_sales
    union all
    select 'product_summary', 'gross_amount', (select gross_amount from lines), coalesce(sum(gross_amount), 0) from analytics.product_summary
    union all
    select 'product_summary', 'net_amount', (select net_amount from lines), coalesce(sum(net_amount), 0) from analytics.product_summary
    union all
    select 'category_summary', 'gross_amount', (select gross_amount from lines), coalesce(sum(gross_amount), 0) from analytics.category_summary
    union all
    select 'category_summary', 'net_amount', (select net_amount from lines), coalesce(sum(net_amount), 0) from analytics.category_summary
    union all
    select 'customer_growth', 'net_amount', (select net_amount from lines), coalesce(sum(new_net_amount + returning_net_amount + unknown_net_amount), 0) from analytics.customer_growth
    union all
    select 'customer_summary', 'customers', (select customers from known), count(*) from analytics.customer_summary
    union all
    select 'customer_summary', 'orders', (select orders from known), coalesce(sum(orders), 0) from analytics.customer_summary
    union all
    select 'customer_summary', 'net_amount', (select net_amount from known), coalesce(sum(net_amount), 0) from analytics.customer_summary
    union all
    select 'payment_summary', 'payments', (select payments from payments), coalesce(sum(payments), 0) from analytics.payment_summary
    union all
    select 'payment_summary', 'paid_amount', (select paid_amount from payments), coalesce(sum(paid_amount), 0) from analytics.payment_summary
    union all
    select 'payment_summary', 'refunded_amount', (select refunded_amount from payments), coalesce(sum(refunded_amount), 0) from analytics.payment_summary
    union all
    select 'daily_sessions', 'sessions', (select sessions from sessions), coalesce(sum(sessions), 0) from analytics.daily_sessions
    union all
    select 'daily_sessions', 'purchase_amount', (select purchase_amount from sessions), coalesce(sum(purchase_amount), 0) from analytics.daily_sessions

)

select aggregate, measure, facts, found, found - facts as difference
from compared
order by aggregate, measure
