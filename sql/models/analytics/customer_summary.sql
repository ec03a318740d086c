-- One row per known customer with a sale, scored by recency, frequency and monetary value (RFM, quintiles: 5 is best).
-- Scores: Hughes, "Strategic Database Marketing"; segments follow recency and frequency.
with bounds as (

    select max(order_date) as last_date from {{ ref('fact_orders') }}

),

sales as (

    select
        customer_id,
        min(order_date) filter (where order_type = 'sale') as first_order_date,
        max(order_date) filter (where order_type = 'sale') as last_order_date,
        count(*) filter (where order_type = 'sale') as orders,
        sum(net_amount) as net_amount
    from {{ ref('fact_orders') }}
    where customer_id <> 'unknown'
    group by customer_id
    having count(*) filter (where order_type = 'sale') > 0

),

scored as (

    select
        sales.*,
        {{ days_between('sales.last_order_date', 'bounds.last_date') }} as days_since_last_order,
        ntile(5) over (order by sales.last_order_date, sales.customer_id) as recency_score,
        ntile(5) over (order by sales.orders, sales.net_amount, sales.customer_id) as frequency_score,
        ntile(5) over (order by sales.net_amount, sales.customer_id) as monetary_score
    from sales
    cross join bounds

)

select
    scored.customer_id,
    customers.country,
    scored.first_order_date,
    scored.last_order_date,
    scored.orders,
    {{ amount('scored.net_amount') }} as net_amount,
    {{ share('scored.net_amount', 'scored.orders') }} as average_order_amount,
    cast(scored.days_since_last_order as integer) as days_since_last_order,
    cast(scored.recency_score as integer) as recency_score,
    cast(scored.frequency_score as integer) as frequency_score,
    cast(scored.monetary_score as integer) as monetary_score,
    case
        when scored.recency_score >= 4 and scored.frequency_score >= 4 then 'Champions'
        when scored.recency_score = 3 and scored.frequency_score >= 4 then 'Loyal'
        when scored.recency_score <= 2 and scored.frequency_score = 5 then 'Cannot lose'
        when scored.recency_score <= 2 and scored.frequency_score >= 3 then 'At risk'
        when scored.recency_score >= 4 and scored.frequency_score >= 2 then 'Potential loyal'
        when scored.recency_score >= 4 then 'New'
        when scored.recency_score = 3 then 'Need attention'
        else {{ label("'Hibernating'") }}
    end as segment
from scored
inner join {{ ref('dim_customers') }} as customers on customers.customer_id = scored.customer_id and customers.is_current
