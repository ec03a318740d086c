-- One row per source that delivers orders but no lines, for none of whose orders another source delivers what was sold.
-- What these orders come to is known by their totals. `sql/queries/model/state.sql` asks the same: where the answer
-- changes, models are built whole.
with batches as (

    select source
    from {{ source('ops', 'batches') }}
    group by source
    having sum(case when entity = 'orders' then rows else 0 end) > 0
        and sum(case when entity in ('order_items', 'order_lines') then rows else 0 end) = 0

),

sold as (

    select order_id
    from {{ source('stage', 'order_items') }}
    where _reject_rule is null and quantity > 0 and not coalesce(is_return, false)
    union all
    select order_id
    from {{ source('stage', 'order_lines') }}
    where _reject_rule is null and quantity > 0 and not coalesce(is_return, false)

),

with_lines as (

    select distinct orders._source as source
    from {{ source('stage', 'orders') }} as orders
    inner join batches on batches.source = orders._source
    inner join sold on sold.order_id = orders.order_id

)

select batches.source
from batches
left join with_lines on with_lines.source = batches.source
where with_lines.source is null
