{# What checks need beside the models: they see all rows, and run again each time. #}

{# The UTC hour that a stream's delivery service put a file into (.../YYYY/MM/DD/HH/name), null where no folder says. #}
{% macro delivery_hour(file) %}{{ adapter.dispatch('delivery_hour', 'shop')(file) }}{% endmacro %}
{% macro duckdb__delivery_hour(file) -%}
try_strptime(regexp_extract({{ file }}, '(\d{4}/\d\d/\d\d/\d\d)/[^/]*$', 1), '%Y/%m/%d/%H')
{%- endmacro %}
{# A day that no calendar has, such as 2025/02/30, moves into the next month: an error would end the check. #}
{% macro postgres__delivery_hour(file) -%}
{%- set part = "cast(substring(" ~ file ~ " from '%s[^/]*$') as integer)" -%}
make_timestamp(
    {{ part | format('(\\d{4})/(?:0[1-9]|1[0-2])/[0-3]\\d/[0-2]\\d/') }},
    {{ part | format('\\d{4}/(0[1-9]|1[0-2])/[0-3]\\d/[0-2]\\d/') }}, 1, 0, 0, 0
) + make_interval(
    days => {{ part | format('\\d{4}/(?:0[1-9]|1[0-2])/([0-3]\\d)/[0-2]\\d/') }} - 1,
    hours => {{ part | format('\\d{4}/(?:0[1-9]|1[0-2])/[0-3]\\d/([0-2]\\d)/') }}
)
{%- endmacro %}

{# One row per product and price, as delivered, that is far from what the product usually costs: by more than a factor of
   eight, and six times as far as the usual distance (the median absolute deviation, on logs, as a standard deviation).
   Usual is the median over the product's lines and listed prices, of which there must be five. The medians are taken
   over different prices and how often they occur, which are few. #}
{% macro unusual_prices() %}
with lines as (

    select product_id, unit_price
    from {{ source('stage', 'order_items') }}
    where unit_price > 0 and _reject_rule is null
    union all
    select product_id, unit_price
    from {{ source('stage', 'order_lines') }}
    where unit_price > 0 and _reject_rule is null

),

listed as (

    select distinct product_id, _source, unit_price
    from {{ source('stage', 'products') }}
    where unit_price > 0 and _reject_rule is null

),

prices as (

    select product_id, unit_price, count(*) as times
    from lines
    group by product_id, unit_price
    union all
    select product_id, unit_price, count(*) as times
    from listed
    group by product_id, unit_price

),

ranked as (

    select
        product_id, unit_price, times,
        sum(times) over (partition by product_id order by unit_price) as times_up_to,
        sum(times) over (partition by product_id) as all_times
    from prices

),

usual as (

    select product_id, all_times, min(unit_price) as usual_price
    from ranked
    where times_up_to * 2 >= all_times and all_times >= 5
    group by product_id, all_times

),

measured as (

    select
        prices.product_id, prices.unit_price, prices.times, usual.usual_price, usual.all_times,
        abs(ln(cast(prices.unit_price as double precision)) - ln(cast(usual.usual_price as double precision))) as distance
    from prices
    inner join usual on usual.product_id = prices.product_id

),

by_distance as (

    select
        product_id, distance, all_times,
        sum(times) over (partition by product_id order by distance) as times_up_to
    from measured

),

spreads as (

    select product_id, min(distance) as usual_distance
    from by_distance
    where times_up_to * 2 >= all_times
    group by product_id

)

select distinct measured.product_id, measured.unit_price, measured.usual_price
from measured
inner join spreads on spreads.product_id = measured.product_id
where measured.distance > ln(8.0) and measured.distance > 6 * 1.4826 * spreads.usual_distance
{% endmacro %}
