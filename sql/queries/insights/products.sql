-- One row per type of what was sold: products, postage, fees, gift cards and so on, and lines that name no product.
select
    case when product_id = 'unknown' then 'unknown' else product_type end as product_type,
    count(*) filter (where net_amount > 0) as products,
    sum(net_amount) as net_amount
from analytics.product_summary
group by case when product_id = 'unknown' then 'unknown' else product_type end
order by 1
