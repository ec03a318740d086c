-- One row per customer: from the customers that sources deliver, and from order lines for all others; where no
-- source delivers customers, those that orders name are known by their id alone.
with delivered as {{ inlined() }} (

    {{ accepted('customers') }}

),

lines as {{ inlined() }} (

    {{ accepted('order_lines') }}

),

-- Of a customer's order lines the latest that states a customer's column wins, by column groups delivered together.
from_lines as (

    select
        lines.*,
        row_number() over (
            partition by lines.customer_id
            order by
                lines.ordered_at desc nulls last, lines._source_file desc nulls last, lines._source_row desc nulls last,
                lines._source desc nulls last
        ) as newest
    from lines
    left join delivered on delivered.customer_id = lines.customer_id
    where lines.customer_id is not null and delivered.customer_id is null

),

from_orders as (

    select orders.customer_id, min(orders._source) as _source, min(orders._source_file) as _source_file
    from {{ ref('orders') }} as orders
    where orders._entity = 'orders' and orders.customer_id is not null
        and not exists (select 1 from lines where lines.customer_id = orders.customer_id)
        and not exists (select 1 from {{ source('stage', 'customers') }})
    group by orders.customer_id

)

select
    customer_id, first_name, last_name, email, phone, country, region, city, postal_code,
    signup_at, updated_at, {{ label("'customers'") }} as _entity, _source, _source_file, _source_row
from delivered
union all
select
    customer_id, customer_first_name, customer_last_name, customer_email, customer_phone, customer_country,
    customer_region, customer_city, customer_postal_code, customer_signup_at, customer_updated_at,
    {{ label("'order_lines'") }} as _entity, _source, _source_file, _source_row
from from_lines
where newest = 1
union all
select
    customer_id, null, null, null, null, null, null, null, null, null, null,
    {{ label("'orders'") }} as _entity, _source, _source_file, null
from from_orders
