-- One row per order line; gross, discounts, returns and net are separate measures and net = gross - discount - return.
-- An order whose source delivers no lines at all has one line, of what its total leaves for goods.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_facts'}) }}
with orders as {{ inlined() }} (

    select
        *, {{ currency_of('currency') }} as amount_currency, cast({{ local_time('ordered_at') }} as date) as order_date
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

delivered as {{ inlined() }} (

    select *
    from {{ ref('order_items') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

payments as (

    select *
    from {{ ref('payments') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

-- What the orders of sources without lines were sold for: their total, else what was paid.
totals as (

    select
        orders.order_id, orders._source, orders.discount_amount, orders.shipping_amount, orders.tax_amount,
        orders.total_amount is not null as is_stated,
        coalesce(orders.total_amount, sum(case when {{ is_paid('payments.status') }} then payments.amount end)) as total_amount
    from orders
    inner join {{ ref('sources_without_lines') }} as sources on sources.source = orders._source
    left join payments
        on payments.order_id = orders.order_id and {{ currency_of('payments.currency') }} = orders.amount_currency
    group by
        orders.order_id, orders._source, orders.discount_amount, orders.shipping_amount, orders.tax_amount, orders.total_amount

),

-- Lines that state what came back come from other sources, and do not show what was sold.
last_lines as (

    select
        order_id, max(line_number) as last_number,
        count(*) filter (where amount > 0) as sold_lines
    from delivered
    where order_id in (select order_id from totals)
    group by order_id

),

from_totals as (

    select
        totals.order_id, coalesce(last_lines.last_number, 0) + 1 as line_number,
        {{ amount("case
            when totals.total_amount < 0 then totals.total_amount
            when " ~ goods_amount('totals') ~ " > 0 then " ~ goods_amount('totals') ~ "
            else 0
        end + abs(coalesce(totals.discount_amount, 0))") }} as amount,
        totals.is_stated, totals._source
    from totals
    left join last_lines on last_lines.order_id = totals.order_id
    where abs(totals.total_amount) < 100000000000 and coalesce(last_lines.sold_lines, 0) = 0

),

{% if var('list_price_sources') -%}
-- Lines without a price of sources that want it so: at the list price of their time, in the order's currency.
listed as (

    select
        delivered.*, orders.amount_currency,
        {{ currency_of('products.currency') }} as list_currency,
        products.unit_price as list_price,
        {{ exchange_rate('orders.amount_currency', 'rates') }} as exchange_rate,
        {{ exchange_rate(currency_of('products.currency'), 'list_rates') }} as list_exchange_rate
    from delivered
    inner join orders on orders.order_id = delivered.order_id
    inner join {{ ref('dim_products') }} as products
        on products.product_id = delivered.product_id and {{ valid_at('products', 'orders.ordered_at') }}
    {{ join_rate('rates', 'orders.amount_currency', 'orders.order_date') }}
    {{ join_rate('list_rates', 'products.currency', 'orders.order_date') }}
    where delivered.amount is null and {{ has_list_price('delivered') }}

),

exchanged as (

    select
        *,
        case
            when list_currency = amount_currency then list_price
            else {{ amount('cast(list_price as double precision) * cast(list_exchange_rate as double precision) / cast(exchange_rate as double precision)') }}
        end as price
    from listed

),

list_priced as (

    select
        order_id, line_number, line_id, product_id, quantity, price as unit_price, {{ amount('quantity * price') }} as amount,
        coalesce(discount_amount, {{ amount('cast(quantity * price as decimal(28, 4)) * abs(discount_rate)') }}) as discount_amount, shipping_amount,
        tax_amount, cost_amount, case when price is null then 'none' else {{ label("'list price'") }} end as amount_basis, _source
    from exchanged

),

{% endif -%}
items as {{ inlined() }} (

    select
        order_id, line_number, line_id, product_id, quantity, unit_price, amount, discount_amount, shipping_amount,
        tax_amount, cost_amount, case when amount is null then 'none' else {{ label("'line'") }} end as amount_basis, _source
    from delivered
    {%- if var('list_price_sources') %}
    where not exists (
        select 1 from list_priced where list_priced.order_id = delivered.order_id and list_priced.line_number = delivered.line_number
    )
    union all
    select *
    from list_priced
    {%- endif %}
    union all
    select
        order_id, line_number, null, 'unknown', cast(null as decimal(18, 3)), {{ amount('null') }}, amount, {{ amount('null') }},
        {{ amount('null') }}, {{ amount('null') }}, {{ amount('null') }},
        case when is_stated then 'order total' else {{ label("'payments'") }} end, _source
    from from_totals

),

-- An order's discount beyond the discounts of its lines is spread over its sold lines by value.
order_discounts as (

    select
        items.order_id,
        abs(orders.discount_amount) - sum(coalesce(items.discount_amount, 0)) as undistributed_amount,
        sum(items.amount) as sold_amount
    from items
    inner join orders on orders.order_id = items.order_id
    where orders.discount_amount <> 0 and items.amount > 0
    group by items.order_id, abs(orders.discount_amount)
    having abs(orders.discount_amount) - sum(coalesce(items.discount_amount, 0)) > 0

),

-- Where lines of negative amount state what came back, the order's status repeats it and does not count. The other way
-- round, of an order that is cancelled with what was sold on it, nothing can come back.
stated_by_lines as (

    select
        items.order_id,
        count(*) filter (where items.amount < 0) as negative_lines,
        count(*) filter (where items.amount > 0) as positive_lines
    from items
    inner join orders on orders.order_id = items.order_id
    where orders.is_returned or orders.is_cancelled
    group by items.order_id

),

priced as (

    select
        items.order_id,
        items.line_number,
        items.line_id,
        items.product_id,
        items.quantity,
        items.unit_price,
        coalesce(items.amount, 0) as amount,
        coalesce(items.discount_amount, 0) as line_discount_amount,
        items.shipping_amount,
        items.tax_amount,
        items.cost_amount,
        items.amount_basis,
        order_discounts.undistributed_amount,
        order_discounts.sold_amount,
        orders.ordered_at,
        orders.order_date,
        orders.customer_id,
        orders.amount_currency,
        orders.is_cancelled and coalesce(stated_by_lines.positive_lines, 0) > 0 as is_cancelled_whole,
        case
            when orders.is_cancelled then 'cancellation'
            when items.quantity < 0 and coalesce(items.amount, 0) = 0 then 'adjustment'
            when items.quantity < 0 or items.amount < 0 then 'return'
            when orders.is_returned and stated_by_lines.negative_lines = 0 then 'return'
            else {{ label("'sale'") }}
        end as line_type,
        items._source
    from items
    inner join orders on orders.order_id = items.order_id
    left join order_discounts on order_discounts.order_id = items.order_id
    left join stated_by_lines on stated_by_lines.order_id = items.order_id

),

spread as (

    select
        *,
        case
            when undistributed_amount is null or amount <= 0 then 0
            else {{ portion('undistributed_amount', 'amount', 'sold_amount') }}
        end as order_discount_amount
    from priced

),

-- The last sold line gets what rounding left, so that the lines of an order add up to its discount.
discounted as (

    select
        *,
        case
            when amount <= 0 then 0
            when row_number() over (
                partition by order_id, amount > 0
                order by line_number desc nulls last, product_id, amount, line_discount_amount
            ) = 1
                then undistributed_amount - sum(order_discount_amount) over (partition by order_id) + order_discount_amount
            else order_discount_amount
        end as settled_discount_amount
    from spread
    where undistributed_amount is not null
    union all
    select *, 0 as settled_discount_amount
    from spread
    where undistributed_amount is null

),

measured as (

    select
        *,
        {{ amount('case when amount >= 0 then amount else 0 end') }} as original_gross_amount,
        {{ amount('case when amount >= 0 then line_discount_amount + settled_discount_amount else 0 end') }} as original_discount_amount,
        {{ amount("case
            when line_type = 'sale' then 0
            when amount >= 0 then amount - line_discount_amount - settled_discount_amount
            when is_cancelled_whole then 0
            else abs(amount) - abs(line_discount_amount)
        end") }} as original_return_amount,
        cast(
            case
                when line_type = 'sale' then coalesce(quantity, 0)
                when amount < 0 and quantity < 0 and not is_cancelled_whole then quantity
                else 0
            end as decimal(18, 3)
        ) as net_quantity
    from discounted

),

-- What a line says of its own cost goes before what its product costs at present: margins do not depend on which versions a
-- source has shown.
costed as (

    select
        measured.*,
        {{ exchange_rate('measured.amount_currency', 'rates') }} as exchange_rate,
        case when measured.net_quantity <> 0 or measured.line_type = 'sale' then measured.cost_amount else 0 end as own_cost_amount,
        measured.cost_amount is null as is_product_cost,
        cast(measured.net_quantity as decimal(24, 3)) * costs.unit_cost as product_cost_amount,
        {{ exchange_rate(currency_of('costs.currency'), 'cost_rates') }} as cost_exchange_rate
    from measured
    {{ join_rate('rates', 'measured.amount_currency', 'measured.order_date') }}
    left join {{ ref('products') }} as costs on costs.product_id = measured.product_id and costs.product_id <> 'unknown'
    {{ join_rate('cost_rates', 'costs.currency', 'measured.order_date') }}

),

converted as (

    select
        *,
        {{ converted('original_gross_amount', 'exchange_rate') }} as gross_amount,
        {{ converted('original_discount_amount', 'exchange_rate') }} as discount_amount,
        {{ converted('original_return_amount', 'exchange_rate') }} as return_amount,
        case
            when is_product_cost then {{ converted('product_cost_amount', 'cost_exchange_rate') }}
            else {{ converted('own_cost_amount', 'exchange_rate') }}
        end as total_cost_amount
    from costed

)

select
    converted.order_id,
    converted.line_number,
    converted.line_id,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    coalesce(products.product_key, 'unknown') as product_key,
    converted.order_date,
    converted.ordered_at,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    converted.product_id,
    converted.line_type,
    converted.amount_basis,
    converted._source as source,
    converted.amount_currency as currency,
    converted.exchange_rate,
    converted.quantity,
    converted.net_quantity,
    converted.unit_price,
    {{ amount('converted.gross_amount') }} as gross_amount,
    {{ amount('converted.discount_amount') }} as discount_amount,
    {{ amount('converted.return_amount') }} as return_amount,
    {{ amount('converted.gross_amount - converted.discount_amount - converted.return_amount') }} as net_amount,
    {{ amount('converted.total_cost_amount') }} as cost_amount,
    {{ amount('converted.gross_amount - converted.discount_amount - converted.return_amount - converted.total_cost_amount') }} as margin_amount,
    {{ converted('converted.shipping_amount', 'converted.exchange_rate') }} as shipping_amount,
    {{ converted('converted.tax_amount', 'converted.exchange_rate') }} as tax_amount,
    converted.original_gross_amount,
    converted.original_discount_amount,
    converted.original_return_amount,
    {{ amount('converted.original_gross_amount - converted.original_discount_amount - converted.original_return_amount') }} as original_net_amount
from converted
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = converted.customer_id and {{ valid_at('customers', 'converted.ordered_at') }}
left join {{ ref('dim_products') }} as products
    on products.product_id = converted.product_id and {{ valid_at('products', 'converted.ordered_at') }}
