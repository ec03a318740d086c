{{ config(severity='warn', meta={
    'dimension': 'consistency', 'table': 'clean.orders', 'refuses': true, 'finding': true, 'field': 'currency',
    'description': 'all lines of an order are in one currency',
    'tested': 'select count(*) from (select distinct _source from clean.orders where currency is not null) as sources'}) }}
-- An order has one currency. Rows of several statements of it, and orders under one number, are not compared with each other.
with sources as (

    select _source
    from {{ source('stage', 'order_lines') }}
    where _reject_rule is null
    group by _source
    having min(upper(currency)) < max(upper(currency))

),

orders as (

    select _source as source, order_id, min(upper(currency)) as one, max(upper(currency)) as other
    from {{ source('stage', 'order_lines') }}
    where _source in (select _source from sources) and currency is not null and _reject_rule is null
    group by _source, _source_file, order_id, ordered_at

)

select
    source, count(*) filter (where one < other) as mixed, count(*) as orders,
    'lines of one order of ' || source || ' are in several currencies (order ' || min(case when one < other then order_id end)
    || ' in ' || min(case when one < other then one || ' and ' || other end) || '): `currency` in `columns` names the currency of'
    || ' the order, whose amounts are all in it; convert them in the export, or by `columns` and `sql`' as finding
from orders
group by source
having count(*) filter (where one < other) * 200 >= count(*) and count(*) filter (where one < other) > 0
