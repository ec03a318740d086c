-- One row per foreign currency and business day, from the first day with a rate on: the last rate known on that day.
with quoted as (

    select currency, rate_date, rate
    from {{ source('ops', 'exchange_rates') }}
    where currency <> '{{ var("currency") }}'

),

days as (

    select date_key
    from {{ ref('dim_date') }}

),

currencies as (

    select distinct currency
    from quoted

),

moments as (

    select currency, rate_date as day, rate_date as quoted_on
    from quoted
    union all
    select currencies.currency, days.date_key, cast(null as date)
    from currencies
    cross join days

),

-- Moments of one day are peers: each of them sees the rate of the day itself.
known as (

    select currency, day, max(quoted_on) over (partition by currency order by day) as quoted_on
    from moments

)

select distinct
    known.currency,
    known.day as rate_date,
    quoted.rate as exchange_rate,
    known.quoted_on
from known
inner join days on days.date_key = known.day
inner join quoted on quoted.currency = known.currency and quoted.rate_date = known.quoted_on
