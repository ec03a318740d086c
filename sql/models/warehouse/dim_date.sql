-- One row per calendar day from the first to the last business day with an order or an event.
with digits as (

    {% for digit in range(10) %}select {{ digit }} as digit{{ ' union all ' if not loop.last }}{% endfor %}

),

numbers as (

    select ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit + 10000 * myriads.digit as number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    cross join digits as thousands
    cross join digits as myriads

),

moments as (

    select min(ordered_at) as first_at, max(ordered_at) as last_at
    from {{ ref('orders') }}
    union all
    select min(event_at), max(event_at)
    from {{ ref('events') }}

),

bounds as (

    select
        cast({{ local_time('min(first_at)') }} as date) as first_date,
        cast({{ local_time('max(last_at)') }} as date) as last_date
    from moments

),

days as (

    select cast(bounds.first_date + numbers.number * interval '1 day' as date) as order_date
    from bounds
    cross join numbers
    where numbers.number <= {{ days_between('bounds.first_date', 'bounds.last_date') }}

)

select
    order_date as date_key,
    order_date,
    {{ month_of('order_date') }} as month,
    cast(extract(year from order_date) as integer) as year,
    cast(extract(quarter from order_date) as integer) as quarter,
    cast(extract(month from order_date) as integer) as month_number,
    cast(extract(day from order_date) as integer) as day_of_month,
    {{ weekday('order_date') }} as weekday,
    {{ weekday('order_date') }} >= 6 as is_weekend
from days
