{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'refuses': true, 'finding': true, 'field': 'discount_amount',
    'description': 'discounts are amounts, and not shares of a price',
    'tested': 'select count(*) from (select distinct _source from clean.order_items where discount_amount <> 0) as sources'}) }}
-- Discounts of which none is above 1 and most are 0.05 or more, and that take hardly anything off what they are on, are
-- rates. A discount that only rounds is smaller, one of a few cents by rule has one value.
with discounts as (

    select
        _source, count(*) as lines, count(*) filter (where abs(discount_amount) >= 0.05) as larger,
        max(abs(discount_amount)) as largest, min(abs(discount_amount)) as smallest,
        sum(abs(discount_amount)) as discounted, sum(abs(amount)) as amount
    from {{ ref('order_items') }}
    where discount_amount <> 0 and discount_rate is null
    group by _source

)

select
    _source as source, lines, smallest, largest,
    'discounts of ' || _source || ' are all between 0 and 1, on lines that are worth far more: they are shares of the price, so'
    || ' map that column as `discount_rate` and not as `discount_amount`' as finding
from discounts
where largest <= 1 and larger * 2 >= lines
    and (
        (lines < 3 and discounted * 500 < amount)
        or (lines >= 3 and smallest < largest and discounted * 200 < amount)
        or (lines >= 20 and smallest < largest and discounted * 100 < amount)
    )
