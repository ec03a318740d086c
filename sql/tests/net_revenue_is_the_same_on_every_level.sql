{{ config(meta={'dimension': 'consistency', 'table': 'analytics.monthly_sales', 'rows': true, 'description': 'net revenue is the same by line, order, day, month, channel, product and customer type'}) }}
with totals as (

    select 'lines' as level, coalesce(sum(net_amount), 0) as net_amount from {{ ref('fact_order_items') }}
    union all
    select 'orders', coalesce(sum(net_amount), 0) from {{ ref('fact_orders') }}
    union all
    select 'days', coalesce(sum(net_amount), 0) from {{ ref('daily_sales') }}
    union all
    select 'months', coalesce(sum(net_amount), 0) from {{ ref('monthly_sales') }}
    union all
    select 'channels', coalesce(sum(net_amount), 0) from {{ ref('channel_sales') }}
    union all
    select 'products', coalesce(sum(net_amount), 0) from {{ ref('product_summary') }}
    union all
    select 'categories', coalesce(sum(net_amount), 0) from {{ ref('category_summary') }}
    union all
    select 'customer types', coalesce(sum(new_net_amount + returning_net_amount + unknown_net_amount), 0) from {{ ref('customer_growth') }}

)

select *
from totals
where net_amount <> (select net_amount from totals where level = 'lines')
