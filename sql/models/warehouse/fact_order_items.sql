-- One row per order line; gross, discounts, returns and net are separate measures and net = gross - discount - return.
{{ config(unique_key='order_id', meta={'recomputed_by': 'affected_facts'}) }}
with orders as {{ inlined() }} (

    select *
    from {{ ref('orders') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

items as {{ inlined() }} (

    select *
    from {{ ref('order_items') }}
    {{ where_affected('order_id', by='affected_facts') }}

),

-- An order's discount beyond the discounts of its lines is spread over its sold lines by value.
order_discounts as (

    select
        items.order_id,
        orders.discount_amount - sum(coalesce(items.discount_amount, 0)) as undistributed_amount,
        sum({{ amount('items.quantity * items.unit_price') }}) as sold_amount
    from items
    inner join orders on orders.order_id = items.order_id
    where orders.discount_amount > 0 and items.quantity > 0 and items.unit_price > 0
    group by items.order_id, orders.discount_amount
    having orders.discount_amount - sum(coalesce(items.discount_amount, 0)) > 0

),

-- Where lines of negative amount state what came back, the order's status repeats it and does not count.
returned_by_lines as (

    select items.order_id
    from items
    inner join orders on orders.order_id = items.order_id
    where orders.is_returned and items.quantity * items.unit_price < 0
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
        {{ amount('items.quantity * items.unit_price') }} as amount,
        coalesce(items.discount_amount, 0) as line_discount_amount,
        order_discounts.undistributed_amount,
        order_discounts.sold_amount,
        orders.ordered_at,
        orders.customer_id,
        orders.is_cancelled,
        case
            when orders.is_cancelled then 'cancellation'
            when items.quantity < 0 and items.unit_price = 0 then 'adjustment'
            when items.quantity < 0 or items.unit_price < 0 then 'return'
            when orders.is_returned and returned_by_lines.order_id is null then 'return'
            else {{ label("'sale'") }}
        end as line_type,
        items._source
    from items
    inner join orders on orders.order_id = items.order_id
    left join order_discounts on order_discounts.order_id = items.order_id
    left join returned_by_lines on returned_by_lines.order_id = items.order_id

),

spread as (

    select
        *,
        case
            when undistributed_amount is null or amount <= 0 or quantity <= 0 then 0
            else {{ portion('undistributed_amount', 'amount', 'sold_amount') }}
        end as order_discount_amount
    from priced

),

-- The last sold line gets what rounding left, so that the lines of an order add up to its discount.
discounted as (

    select
        *,
        case
            when amount <= 0 or quantity <= 0 then 0
            when row_number() over (
                partition by order_id, amount > 0 and quantity > 0
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
        case when amount >= 0 then amount else 0 end as gross_amount,
        case when amount >= 0 then line_discount_amount + settled_discount_amount else 0 end as discount_amount,
        case
            when line_type = 'sale' then 0
            when amount >= 0 then amount - line_discount_amount - settled_discount_amount
            else abs(amount) - abs(line_discount_amount)
        end as return_amount,
        cast(case when line_type = 'sale' or (amount < 0 and quantity < 0) then quantity else 0 end as decimal(18, 3)) as net_quantity
    from discounted

)

select
    measured.order_id,
    measured.line_number,
    measured.line_id,
    coalesce(customers.customer_key, 'unknown') as customer_key,
    coalesce(products.product_key, 'unknown') as product_key,
    cast({{ local_time('measured.ordered_at') }} as date) as order_date,
    measured.ordered_at,
    coalesce(customers.customer_id, 'unknown') as customer_id,
    measured.product_id,
    measured.line_type,
    measured._source as source,
    measured.quantity,
    measured.net_quantity,
    measured.unit_price,
    {{ amount('measured.gross_amount') }} as gross_amount,
    {{ amount('measured.discount_amount') }} as discount_amount,
    {{ amount('measured.return_amount') }} as return_amount,
    {{ amount('measured.gross_amount - measured.discount_amount - measured.return_amount') }} as net_amount,
    {{ amount('cast(measured.net_quantity as decimal(24, 3)) * costs.unit_cost') }} as cost_amount,
    {{ amount('measured.gross_amount - measured.discount_amount - measured.return_amount - cast(measured.net_quantity as decimal(24, 3)) * costs.unit_cost') }} as margin_amount
from measured
left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = measured.customer_id and {{ valid_at('customers', 'measured.ordered_at') }}
left join {{ ref('dim_products') }} as products
    on products.product_id = measured.product_id and {{ valid_at('products', 'measured.ordered_at') }}
-- The cost is that of the product's present row: margins do not depend on which versions a source has shown.
left join {{ ref('products') }} as costs on costs.product_id = measured.product_id and costs.product_id <> 'unknown'
