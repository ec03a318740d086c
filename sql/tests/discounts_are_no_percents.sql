{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'refuses': true, 'finding': true, 'field': 'discount_amount',
    'description': 'discounts are amounts, or rates that are parts of one, and not percents',
    'tested': 'select count(*) from (select distinct _source from clean.order_items where discount_amount <> 0 or discount_rate <> 0) as sources'}) }}
-- A few whole numbers, all of them multiples of five, are percents where some take off more than the line is worth, or where
-- they are as high on cheap lines as on dear ones. Amounts that a customer is given grow with what is bought.
with discounts as (

    select
        _source as source, order_id, cast(abs(discount_amount) as double precision) as discount,
        cast(abs(amount) as double precision) as amount
    from {{ ref('order_items') }}
    where discount_amount <> 0 and discount_rate is null and line_amount is null and amount <> 0

),

whole_numbers as (

    select source
    from discounts
    group by source
    having max(discount) <= 100 and bool_and(discount = 5 * floor(discount * 0.2)) and count(distinct discount) between 3 and 16

),

judged as (

    select
        discounts.source, count(*) as lines, min(order_id) as order_id, count(distinct discount) as kinds,
        count(*) filter (where discount > amount) as larger, max(discount) as largest, min(amount) as least, max(amount) as most,
        count(*) * sum(discount * discount) - sum(discount) * sum(discount) as xx,
        count(*) * sum(discount * amount) - sum(discount) * sum(amount) as xy,
        count(*) * sum(amount * amount) - sum(amount) * sum(amount) as yy
    from discounts
    inner join whole_numbers on whole_numbers.source = discounts.source
    group by discounts.source

),

rates as (

    select
        _source as source, count(*) as lines, min(case when abs(discount_rate) > 1 then order_id end) as order_id,
        max(abs(discount_rate)) as largest
    from {{ ref('order_items') }}
    where discount_rate <> 0
    group by _source
    having count(*) filter (where abs(discount_rate) > 1) * 10 >= count(*)

)

select
    source, order_id, lines, {{ amount('largest') }} as discount_amount,
    'discounts of ' || source || ' are a few whole numbers, whatever the line is worth: they are percents, so map that column as'
    || ' `discount_rate` with `factor: 0.01` and not as `discount_amount` (or as `order_discount_amount`, if each line repeats'
    || ' what its order was given)' as finding
from judged
where (larger >= 2 and larger * 50 >= lines)
    or (lines >= 20 and kinds >= 4 and most >= 5 * least and (xy <= 0 or xy * xy < 0.06 * xx * yy))
union all
select
    source, order_id, lines, {{ amount('largest') }} as discount_amount,
    'discount rates of ' || source || ' are above 1 (such as in order ' || order_id || '): they are percents, so set `factor: 0.01`'
    || ' for `discount_rate`'
from rates
