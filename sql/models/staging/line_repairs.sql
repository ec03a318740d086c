-- One row per repaired order line: where an order's lines do not come to its total, and would if one cell of one line
-- were another, that cell.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_orders'}) }}
with orders as (

    select *
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_orders') }}

),

payments as (

    select *
    from {{ ref('payments') }}
    {{ where_affected('order_id', by='affected_orders') }}

),

items as (

    {{ accepted('order_items') }}

),

flat as (

    {{ accepted('order_lines') }}

),

delivered as (

    {% for entity, staged, own in [('order_items', 'items', ''), ('order_lines', 'flat', 'line_')] %}
    select
        order_id, {{ own_line_number('line_number') }} as line_number, product_id, quantity, unit_price, discount_amount,
        discount_rate, line_total, line_amount, {{ own }}shipping_amount as shipping_amount, {{ own }}tax_amount as tax_amount,
        unit_cost, cost_amount, margin_amount, is_return, _key,
        {{ label("'" ~ entity ~ "'") }} as _entity, _source, _source_file, _source_row
    from {{ staged }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

settled as (

    {{ settled_lines('delivered') }}

),

-- A negative line keeps its discount's sign: it may be a sale whose sign is wrong.
lines as {{ inlined() }} (

    select
        order_id, line_number, product_id, quantity, unit_price, amount, shipping_amount, tax_amount,
        coalesce(case when amount < 0 and discount_amount is not null then discount_amount else settled_discount end, 0)
            as discount_amount,
        line_total is null and line_amount is null and coalesce(discount_rate, 0) = 0 and not is_back
            and not (quantity < 0 and unit_price < 0) as is_repairable,
        _key, _entity, _source, _source_file, _source_row
    from settled

),

-- Sold lines, and all together with what came back.
added_up as (

    select
        order_id,
        sum(amount) as amount,
        sum(discount_amount) as discount_amount,
        sum(case when amount > 0 then amount else 0 end) as sold_amount,
        sum(case when amount > 0 then discount_amount else 0 end) as sold_discount_amount,
        sum(case when amount >= 0 then shipping_amount end) as shipping_amount,
        sum(case when amount >= 0 then tax_amount end) as tax_amount,
        min(line_number) as first_number, max(line_number) as last_number, count(line_number) as numbers
    from lines
    group by order_id
    having count(amount) = count(*)

),

-- Shipping and tax are the order's own or, where it states none, its lines'.
charged as (

    select
        orders.order_id, orders.total_amount, abs(coalesce(orders.discount_amount, 0)) as order_discount_amount,
        coalesce(orders.shipping_amount, added_up.shipping_amount, 0) as shipping_amount,
        coalesce(orders.tax_amount, added_up.tax_amount, 0) as tax_amount,
        added_up.amount, added_up.discount_amount, added_up.sold_amount, added_up.sold_discount_amount,
        added_up.first_number, added_up.last_number, added_up.numbers
    from orders
    inner join added_up on added_up.order_id = orders.order_id
    where orders.total_amount is not null

),

paid as (

    select order_id, sum(amount) as amount
    from payments
    where {{ is_paid('payments.status') }}
    group by order_id

),

-- Orders whose lines do not come to the total, with tax or without, before returns or after. Left alone are those where
-- what was paid speaks against the total, and where a gap in the numbers (1, 2, 3 or 10, 20, 30) shows that a line is
-- missing. An order's discount holds its lines' own.
disputed as (

    select
        charged.order_id,
        {{ goods_amount('charged') }} as goods_amount,
        charged.order_discount_amount,
        charged.sold_amount,
        charged.sold_discount_amount
    from charged
    left join paid on paid.order_id = charged.order_id
    where (paid.amount is null or abs(paid.amount - charged.total_amount) < 0.005)
        and (
            charged.numbers = 0
            or (charged.first_number in (1, 10, 100) and charged.last_number = charged.numbers * charged.first_number)
            or (charged.first_number = 0 and charged.last_number = charged.numbers - 1)
        )
        {%- for lines_amount, lines_discount in [('sold_amount', 'sold_discount_amount'), ('amount', 'discount_amount')] %}
        {%- for tax in ['0', 'charged.tax_amount'] %}
        and abs(
            charged.{{ lines_amount }} - greatest(charged.order_discount_amount, charged.{{ lines_discount }})
            - (charged.total_amount - charged.shipping_amount - {{ tax }})
        ) >= 0.005
        {%- endfor %}
        {%- endfor %}

),

-- What the total leaves for each line.
measured as (

    select
        lines.*,
        max(case when lines.amount >= 0 then 1 else 0 end) over (partition by lines.order_id, lines.product_id) as is_sold_too,
        disputed.goods_amount
            + greatest(
                disputed.order_discount_amount,
                disputed.sold_discount_amount + case when lines.amount > 0 then 0 else lines.discount_amount end
            )
            - disputed.sold_amount + case when lines.amount > 0 then lines.amount else 0 end as amount_left
    from lines
    inner join disputed on disputed.order_id = lines.order_id

),

-- The whole quantity and the price in cents that would come to it.
solved as (

    select
        *,
        case
            when is_repairable and amount_left > 0 and amount_left < 1000000000 and unit_price > 0
                then cast({{ portion('1', 'amount_left', 'unit_price') }} as decimal(18, 0))
        end as quantity_left,
        case
            when is_repairable and amount_left > 0 and amount_left < 1000000000 and quantity > 0
                then cast({{ portion('1', 'amount_left', 'quantity') }} as decimal(18, 2))
        end as price_left
    from measured

),

-- A negative line of a product that the order also sells is a return, and so is one whose discount is negative too.
candidates as (

    select
        *, 1 as place, {{ label("'wrong_sign'") }} as rule,
        case when quantity < 0 then 'quantity' else {{ label("'unit_price'") }} end as field,
        {{ amount('case when quantity < 0 then -quantity else -unit_price end') }} as value
    from solved
    where is_repairable and amount < 0 and discount_amount >= 0 and is_sold_too = 0 and abs(amount_left + amount) < 0.005
    union all
    select *, 2, {{ label("'zeroed'") }}, {{ label("'quantity'") }}, {{ amount('quantity_left') }}
    from solved
    where quantity = 0 and quantity_left >= 1 and abs(quantity_left * unit_price - amount_left) < 0.005
    union all
    select *, 2, {{ label("'zeroed'") }}, {{ label("'unit_price'") }}, {{ amount('price_left') }}
    from solved
    where unit_price = 0 and price_left > 0 and abs(quantity * price_left - amount_left) < 0.005
    union all
    select *, 3, {{ label("'wrong_unit'") }}, {{ label("'unit_price'") }}, {{ amount('price_left') }}
    from solved
    where amount > 0 and price_left > 0 and abs(quantity * price_left - amount_left) < 0.005
        and case
            when unit_price > price_left
                then unit_price >= 10 * price_left and unit_price <= 2000 * price_left and mod(unit_price, nullif(price_left, 0)) = 0
            else price_left in (unit_price * 10, unit_price * 100, unit_price * 1000)
        end

),

ranked as (

    select
        *,
        row_number() over (
            partition by order_id
            order by place, line_number, _source_file, _source_row, _source, _entity
        ) as position,
        count(*) over (partition by order_id, place) as rivals,
        min(amount) over (partition by order_id, place) as least_amount,
        max(amount) over (partition by order_id, place) as largest_amount
    from candidates

)

select
    order_id, _key as key, field, rule,
    case when field = 'quantity' then {{ quantity_text('quantity') }} else {{ amount_text('unit_price') }} end as before,
    case when field = 'quantity' then {{ quantity_text('value') }} else {{ amount_text('value') }} end as after,
    value,
    _entity, _source, _source_file, _source_row
from ranked
-- Of several lines nothing says which it is, unless they are equal: then the first was sold and the rest came back.
where position = 1 and (rivals = 1 or (place = 1 and least_amount = largest_amount))
