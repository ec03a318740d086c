{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'warehouse.fact_order_items', 'refuses': true, 'finding': true, 'field': 'gross_amount',
    'description': 'lines and orders are what was sold, and not sums over the others',
    'tested': 'select count(*) from (select distinct source from warehouse.fact_orders) as sources'}) }}
-- A line that is the sum of the others of its order in most orders; an order that is the sum of all others of its month,
-- or of its source; orders and products whose name is a word for totals. Of two equal lines either is the sum of the
-- others, so only orders of three lines or more are judged.
{%- set words = '^((grand|sub|overall|monthly|daily|weekly|yearly|annual|zwischen|monats|tages|gesamt|sous|end)[ -]?)?(totals?|totale|totaal|summe|gesamt|sum|suma|somme|soma)([ :].*)?$' %}
with lines as (

    select
        source, order_id, sum(gross_amount) as gross, max(gross_amount) as largest,
        sum(case when product_id like 'unknown: %' then 1 else 0 end) as unnamed
    from {{ ref('fact_order_items') }}
    where gross_amount > 0
    group by source, order_id
    having count(*) >= 3

),

subtotals as (

    select source, min(case when abs(gross - 2 * largest) < 0.005 then order_id end) as order_id
    from lines
    group by source
    having count(*) filter (where abs(gross - 2 * largest) < 0.005) >= 2
        and count(*) filter (where abs(gross - 2 * largest) < 0.005) * 10 >= count(*) * 6

),

orders as (

    select source, order_id, order_date, gross_amount - discount_amount as amount
    from {{ ref('fact_orders') }}
    where gross_amount > discount_amount

),

spans as (

    select source, {{ month_of('order_date') }} as month, count(*) as orders, sum(amount) as amount, max(amount) as largest
    from orders
    group by source, {{ month_of('order_date') }}

),

sums as (

    select source, largest
    from spans
    where orders >= 6 and abs(amount - 2 * largest) < 0.005
    union
    select source, max(largest) as largest
    from spans
    group by source
    having sum(orders) >= 6 and abs(sum(amount) - 2 * max(largest)) < 0.005

),

words as (

    select source, order_id
    from orders
    where {{ matches('order_id', words) }}

),

found as (

    select source, order_id, {{ label("'line'") }} as what
    from subtotals
    union all
    select orders.source, orders.order_id, {{ label("'order'") }}
    from sums
    inner join orders on orders.source = sums.source and orders.amount = sums.largest
    union all
    select source, order_id, {{ label("'order'") }}
    from words

)

select
    source, min(order_id) as order_id, count(*) as found,
    'a ' || min(what) || ' of ' || source || ' is the total of the others (see order ' || min(order_id) || '): `where` of the entity says'
    || ' which rows count' as finding
from found
group by source
