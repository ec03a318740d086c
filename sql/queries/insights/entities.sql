-- One row: how many categories, customers, payment methods, channels, hours and sessions there are to speak of.
select
    (select count(*) from analytics.category_summary where lower(category) <> 'unknown' and net_amount > 0) as categories,
    (select count(*) from analytics.customer_summary) as customers,
    (select count(*) from analytics.payment_summary where payment_method <> 'unknown' and paid_amount > 0) as payment_methods,
    (select count(distinct channel) from analytics.channel_sales where channel <> 'unknown') as channels,
    (select count(*) from analytics.hourly_sales) as hours,
    (
        select count(*)
        from (select device from analytics.daily_sessions where device <> 'unknown' group by device having sum(sessions) >= 50) as devices
    ) as devices,
    (select sum(sessions) from analytics.daily_sessions) as sessions,
    (select sum(converted_sessions) from analytics.daily_sessions) as converted_sessions,
    (select sum(purchase_amount) from analytics.daily_sessions) as purchase_amount
