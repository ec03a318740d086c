-- One row per source and word of a status or event that nobody has said the meaning of, with how many orders or events
-- have it. Their orders count as sales.
with statuses as (

    select
        orders._source as source, orders.status as word,
        count(*) as rows,
        {{ amount('sum(coalesce(orders.total_amount, lines.amount))') }} as amount
    from {{ ref('orders') }} as orders
    left join (
        select order_id, sum(amount) - sum(coalesce(discount_amount, 0)) as amount
        from {{ ref('order_items') }}
        where order_id in (select order_id from {{ ref('orders') }} where state = 'unclear')
        group by order_id
    ) as lines on lines.order_id = orders.order_id
    where orders.state = 'unclear'
    group by orders._source, orders.status

),

events as (

    select _source as source, event_type as word, count(*) as rows
    from {{ ref('events') }}
    where kind = 'unclear'
    group by _source, event_type

)

select {{ label("'status'") }} as kind, word, source, rows, amount
from statuses
union all
select {{ label("'event'") }}, word, source, rows, {{ amount('null') }}
from events
