-- One row per customer: from the customers that sources deliver, and from order lines for all others; where no
-- source delivers customers, those that orders name are known by their id alone.
{%- set columns = [
    'first_name', 'last_name', 'email', 'phone', 'country', 'region', 'city', 'postal_code', 'signup_at', 'updated_at'
] %}
with delivered as {{ inlined() }} (

    {{ accepted('customers') }}

),

lines as {{ inlined() }} (

    {{ accepted('order_lines') }}

),

-- Of each column the newest value that one of the customer's order lines states: lines after an order's first one are
-- often blank.
placed_lines as (

    select
        lines.*,
        row_number() over (
            partition by lines.customer_id
            order by
                lines.ordered_at desc nulls last, lines._source_file desc nulls last, lines._source_row desc nulls last,
                lines._source desc nulls last
        ) as place
    from lines
    left join delivered on delivered.customer_id = lines.customer_id
    where lines.customer_id is not null and delivered.customer_id is null

),

from_lines as (

    select
        customer_id,
        {% for column in columns %}
        {{ first_stated('customer_' ~ column, 'place') }} as {{ column }},
        {% endfor %}
        {{ first_stated('_source', 'place') }} as _source,
        {{ first_stated('_source_file', 'place') }} as _source_file,
        {{ first_stated('_source_row', 'place') }} as _source_row
    from placed_lines
    group by customer_id

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
    customer_id, {{ columns | join(', ') }},
    {{ label("'customers'") }} as _entity, _source, _source_file, _source_row
from delivered
union all
select
    customer_id, {{ columns | join(', ') }},
    {{ label("'order_lines'") }} as _entity, _source, _source_file, _source_row
from from_lines
union all
select
    customer_id, null, null, null, null, null, null, null, null, null, null,
    {{ label("'orders'") }} as _entity, _source, _source_file, null
from from_orders
