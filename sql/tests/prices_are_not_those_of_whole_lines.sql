{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'clean.order_items', 'refuses': true, 'finding': true, 'field': 'unit_price',
    'description': 'unit prices are those of one unit, and not of the whole line',
    'tested': 'select count(*) from (select distinct _source from clean.order_items) as sources'}) }}
-- Within a product a price that grows in step with the quantity is that of the line: the slope of its logarithm over that of
-- the quantity is 1 then, else 0, and below where many are cheaper. So it is where orders' totals are the sum of prices and
-- not of price times quantity; and where the tax is the same share of all orders only if prices are of lines.
with products as (

    select
        _source, product_id, count(*) as lines,
        sum(ln(cast(quantity as double precision))) as x, sum(ln(cast(unit_price as double precision))) as y,
        sum(ln(cast(quantity as double precision)) * ln(cast(quantity as double precision))) as xx,
        sum(ln(cast(quantity as double precision)) * ln(cast(unit_price as double precision))) as xy,
        sum(ln(cast(unit_price as double precision)) * ln(cast(unit_price as double precision))) as yy
    from {{ ref('order_items') }}
    where quantity > 0 and unit_price > 0 and line_total is null and line_amount is null
    group by _source, product_id
    having min(quantity) < max(quantity)

),

slopes as (

    select
        _source, sum(lines) as lines, count(*) as products, min(product_id) as product_id,
        sum(xx - {{ share('x * x', 'lines') }}) as xx, sum(xy - {{ share('x * y', 'lines') }}) as xy,
        sum(yy - {{ share('y * y', 'lines') }}) as yy
    from products
    group by _source

),

disputed as (

    select order_id, source, total_amount, discount_amount, shipping_amount, tax_amount
    from {{ ref('fact_orders') }}
    where unexplained_amount > 0.005

),

prices as (

    select items.order_id, sum({{ converted('items.unit_price', 'items.exchange_rate') }}) as price, min(items.product_id) as product_id
    from {{ ref('fact_order_items') }} as items
    inner join disputed on disputed.order_id = items.order_id
    where items.quantity > 0
    group by items.order_id

),

by_price as (

    select disputed.source, count(*) as orders, min(prices.product_id) as product_id
    from disputed
    inner join prices on prices.order_id = disputed.order_id
    where abs(disputed.total_amount - prices.price + disputed.discount_amount - coalesce(disputed.shipping_amount, 0)) < 0.005
        or abs(
            disputed.total_amount - prices.price + disputed.discount_amount - coalesce(disputed.shipping_amount, 0)
            - coalesce(disputed.tax_amount, 0)
        ) < 0.005
    group by disputed.source

),

by_quantity as (

    select orders.source, count(*) as orders
    from {{ ref('fact_orders') }} as orders
    left join disputed on disputed.order_id = orders.order_id
    where orders.total_amount is not null and orders.quantity > orders.line_count and disputed.order_id is null
    group by orders.source

),

-- The share that tax has, of what is sold before discounts and after: of all orders, or of some that chance picks.
taxed as (

    select order_id, source, tax_amount, gross_amount, discount_amount, quantity > line_count as has_several
    from {{ ref('fact_orders') }}
    where tax_amount > 0 and line_count > 0 and gross_amount > discount_amount and order_type = 'sale'
        and (md5(order_id) < '1' or (select count(*) from {{ ref('fact_orders') }}) < 50000)

),

taxed_prices as (

    select
        taxed.order_id, min(items.product_id) as product_id,
        sum(case when items.quantity > 0 then {{ converted('items.unit_price', 'items.exchange_rate') }} else 0 end) as price
    from taxed
    inner join {{ ref('fact_order_items') }} as items on items.order_id = taxed.order_id
    group by taxed.order_id

),

tax_shares as (

    {% for base, less in [('gross', '0'), ('net', 'taxed.discount_amount')] %}
    select
        taxed.source, {{ label("'" ~ base ~ "'") }} as base, taxed.has_several, prices.product_id,
        {{ share('taxed.tax_amount', 'taxed.gross_amount - ' ~ less) }} as by_quantity,
        {{ share('taxed.tax_amount', 'prices.price - ' ~ less) }} as by_price
    from taxed
    inner join taxed_prices as prices on prices.order_id = taxed.order_id
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

usual_shares as (

    select source, base, min(by_quantity) as least, max(by_quantity) as most
    from tax_shares
    where not has_several
    group by source, base

),

by_tax as (

    select shares.source, min(shares.product_id) as product_id
    from tax_shares as shares
    inner join usual_shares as usual on usual.source = shares.source and usual.base = shares.base
    where shares.has_several and usual.most <= 1.02 * usual.least
    group by shares.source, shares.base
    having count(*) filter (where shares.by_price between 0.98 * usual.least and 1.02 * usual.most) * 10 >= count(*) * 9
        and count(*) filter (where shares.by_quantity between 0.98 * usual.least and 1.02 * usual.most) * 10 <= count(*)

),

found as (

    select _source as source, product_id
    from slopes
    where xx > 0 and yy > 0 and xy > 0.7 * xx and xy < 1.3 * xx
        and ((lines >= 5 and products >= 2 and xy * xy > 0.9 * xx * yy) or (lines >= 20 and xy * xy > 0.4 * xx * yy))
    union
    select by_price.source, by_price.product_id
    from by_price
    left join by_quantity on by_quantity.source = by_price.source
    where by_price.orders > coalesce(by_quantity.orders, 0)
    union
    select source, product_id
    from by_tax

)

select
    source, min(product_id) as product_id,
    'unit prices of ' || source || ' are those of whole lines (of product ' || min(product_id) || ', for one): they grow in step with'
    || ' the quantity, or totals and taxes are theirs without it; map that column as `line_total` and not as `unit_price`' as finding
from found
group by source
