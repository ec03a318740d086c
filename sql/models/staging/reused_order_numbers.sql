-- One row per order number that stands for two orders: placed at different times, or by different customers.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
with placed as {{ inlined() }} (

    {% for entity in ['orders', 'order_lines'] %}
    select
        order_id, ordered_at, nullif(lower(customer_id), 'unknown') as customer_id, status,
        _stated_at is not null{{ ' or updated_at is not null' if entity == 'orders' }} as is_stated,
        {{ label("'" ~ entity ~ "'") }} as _entity, _source, _source_file, _source_row, _ingested_at
    from {{ source('stage', entity) }} as staged
    where order_id is not null and _reject_rule is null
        {{ 'and not ' ~ came_back('staged') if entity == 'order_lines' }}
        {{ and_affected('order_id', by='affected_orders') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

doubtful as (

    select order_id
    from placed
    group by order_id
    having max(ordered_at) > min(ordered_at) + interval '30 days' or min(customer_id) <> max(customer_id)
        or (bool_or(is_stated) and max(ordered_at) > min(ordered_at) + interval '1 day')

),

-- What has a key of its own at its source is an order there, of which the last row that was read holds.
read_last as (

    select
        placed.*,
        {{ order_state('placed.status') }} as state,
        coalesce(mappings.kind, 'files') = 'files' as is_document,
        max(placed._ingested_at) over (partition by placed.order_id, placed._source, placed._entity) as last_read_at
    from placed
    inner join doubtful on doubtful.order_id = placed.order_id
    left join {{ source('ops', 'mappings') }} as mappings
        on mappings.source = placed._source and mappings.entity = placed._entity

),

counted as (

    select *
    from read_last
    where is_document or _ingested_at = last_read_at

),

-- A refund under the number of its order is dated after it; half a year later it hardly is one. When an order was placed
-- does not change where a document states it anew.
judged as (

    select
        *,
        min(ordered_at) filter (where state <> 'returned') over by_order as first_sold_at,
        max(ordered_at) filter (where state <> 'returned') over by_order as last_sold_at,
        min(ordered_at) filter (where state <> 'returned' and is_stated and is_document) over by_source as first_stated_at,
        max(ordered_at) filter (where state <> 'returned' and is_stated and is_document) over by_source as last_stated_at,
        min(ordered_at) over by_order as first_at,
        max(ordered_at) over by_order as last_at,
        min(customer_id) over by_order as first_customer,
        max(customer_id) over by_order as last_customer,
        min(customer_id) over by_document as first_in_document,
        max(customer_id) over by_document as last_in_document
    from counted
    window
        by_order as (partition by order_id),
        by_source as (partition by order_id, _source, _entity),
        by_document as (partition by order_id, _source, _source_file, _entity)

),

told_apart as (

    select
        *,
        coalesce(last_sold_at > first_sold_at + interval '30 days', false)
            or max(case when last_stated_at > first_stated_at + interval '1 day' then 1 else 0 end) over (partition by order_id) = 1
            or last_at > first_at + interval '180 days' as is_far_apart,
        (first_customer <> last_customer and last_at > first_at + interval '1 day')
            or max(case when _entity = 'order_lines' and first_in_document <> last_in_document then 1 else 0 end) over (
                partition by order_id
            ) = 1 as has_customers
    from judged

),

refused as (

    select *
    from told_apart
    where is_far_apart or coalesce(has_customers, false)

),

-- The first order under the number, and the one that shows best that there is another.
first_rows as (

    select
        *,
        first_value(customer_id) over (
            partition by order_id order by ordered_at, _source, _source_file, _source_row, _entity
        ) as customer_of_first,
        row_number() over (partition by order_id order by ordered_at, _source, _source_file, _source_row, _entity) as place
    from refused

),

other_rows as (

    select
        *,
        row_number() over (
            partition by order_id
            order by
                case when is_far_apart or customer_id <> customer_of_first then 0 else 1 end,
                ordered_at desc nulls last, _source desc nulls last, _source_file desc nulls last, _source_row desc nulls last,
                _entity desc nulls last
        ) as other_place
    from first_rows

)

select
    one.order_id,
    'order number ' || one.order_id || ' stands for two orders: ' || {{ placed_text('one') }} || ' and ' || {{ placed_text('other') }}
        || '. Tell them apart in the mapping, with the year or day in the number, as order_id: {sql: ...}, or with id_prefixes;'
        || ' where one of them came back, is_return says so'
        as reason
from other_rows as one
inner join other_rows as other on other.order_id = one.order_id and other.other_place = 1
where one.place = 1
