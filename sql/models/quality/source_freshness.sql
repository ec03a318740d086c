-- One row per source: the newest day of its business, held against the newest of all sources and its own usual gaps.
{%- set moments = [
    ('customers', 'coalesce(updated_at, signup_at)'), ('products', 'updated_at'), ('orders', 'ordered_at'),
    ('payments', 'paid_at'), ('events', 'event_at'), ('order_lines', 'ordered_at'),
] %}
-- To the shop's clock by the hour: there are few of them.
with hours as (

    {% for entity, moment in moments %}
    select distinct _source as source, cast(date_trunc('hour', {{ moment }}) as timestamp) as hour
    from {{ source('stage', entity) }}
    where _reject_rule is null and {{ moment }} is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

days as (

    select distinct source, cast({{ local_time('hour') }} as date) as day
    from hours

),

shop_days as (

    select day, lag(day) over (order by day) as day_before
    from (select distinct day from days) as all_days

),

-- A day that comes weeks after all others is a mistake, and not the shop's present day.
clock as (

    select max(day) as clock_day
    from shop_days
    where day_before is null or {{ days_between('day_before', 'day') }} <= 30

),

gaps as (

    select
        days.source, days.day, clock.clock_day,
        max(days.day) over (partition by days.source) as last_day,
        {{ days_between('lag(days.day) over (partition by days.source order by days.day)', 'days.day') }} as gap
    from days
    cross join clock
    where days.day <= clock.clock_day

),

-- What was usual a year ago and longer need not be so today.
by_source as (

    select
        source,
        min(day) as first_day,
        max(day) as last_day,
        count(*) as days_with_rows,
        max(gap) filter (where {{ days_between('day', 'last_day') }} < 365) as usual_gap_days,
        max(clock_day) as clock_day
    from gaps
    group by source

)

select
    source, first_day, last_day, days_with_rows,
    cast(coalesce(usual_gap_days, 1) as integer) as usual_gap_days,
    clock_day,
    cast({{ days_between('last_day', 'clock_day') }} as integer) as gap_days
from by_source
