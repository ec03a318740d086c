{{ config(severity='warn', meta={
    'dimension': 'consistency', 'table': 'warehouse.fact_orders', 'refuses': true, 'finding': true, 'field': 'total_amount',
    'description': 'totals, lines and payments are in one unit, and not some of them in cents',
    'tested': 'select count(*) from (select distinct source from warehouse.fact_orders where total_amount > 0 or paid_amount > 0) as sources'}) }}
with orders as (

    select
        source, total_amount, paid_amount,
        case when line_count > 0 then gross_amount - discount_amount end as lines_amount
    from {{ ref('fact_orders') }}

),

pairs as (

    {% for larger, smaller, one, other, without_total in [
        ('totals of orders', 'their lines', 'total_amount', 'lines_amount', false),
        ('lines', 'the totals of their orders', 'lines_amount', 'total_amount', false),
        ('payments', 'the totals of their orders', 'paid_amount', 'total_amount', false),
        ('totals of orders', 'their payments', 'total_amount', 'paid_amount', false),
        ('payments', 'the lines of their orders', 'paid_amount', 'lines_amount', true),
        ('lines', 'the payments of their orders', 'lines_amount', 'paid_amount', true),
    ] %}
    select source, '{{ larger }}' as larger, '{{ smaller }}' as smaller, {{ one }} as one, {{ other }} as other
    from orders
    where {{ one }} > 0 and {{ other }} > 0{{ ' and total_amount is null' if without_total }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- Where an order has one line, its price has been repaired by then.
repaired as (

    select
        orders.source, repairs.value as after, cast(repairs.before as decimal(18, 4)) as before
    from {{ ref('line_repairs') }} as repairs
    inner join {{ ref('fact_orders') }} as orders on orders.order_id = repairs.order_id
    where repairs.rule = 'wrong_unit'

),

hundredfold as (

    select source, larger, smaller
    from pairs
    where one > 50 * other and one < 200 * other
    union all
    select source, 'totals of orders', 'their lines'
    from repaired
    where after = 100 * before
    union all
    select source, 'lines', 'the totals of their orders'
    from repaired
    where before = 100 * after

),

counted as (

    select source, larger, smaller, count(*) as hundredfold
    from hundredfold
    group by source, larger, smaller

),

compared as (

    select pairs.source, pairs.larger, pairs.smaller, count(*) as orders, min(counted.hundredfold) as hundredfold
    from pairs
    inner join counted
        on counted.source = pairs.source and counted.larger = pairs.larger and counted.smaller = pairs.smaller
    group by pairs.source, pairs.larger, pairs.smaller

)

select
    source, larger, smaller, orders, hundredfold,
    larger || ' of ' || source || ' are a hundred times ' || smaller || ': one of them is in cents, so set `factor: 0.01` for its'
    || ' columns' as finding
from compared
where orders >= 2 and hundredfold * 10 >= orders * 9
