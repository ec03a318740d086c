-- One row per line that equals another one of its order in the same document: whether it was kept as a line of its own or
-- merged, whether the order's total decided that or the mapping alone, and how much money hangs on it.
with
{% for entity in ['order_items', 'order_lines'] %}
{%- set shipping, tax = ('line_shipping_amount', 'line_tax_amount') if entity == 'order_lines' else ('shipping_amount', 'tax_amount') %}
doubtful_{{ entity }} as (

    select distinct order_id
    from {{ source('stage', entity) }} as staged
    where {{ is_equal_line('staged') }}

),

delivered_{{ entity }} as (

    select lines.*, dispositions._source is null as is_kept
    from {{ source('stage', entity) }} as lines
    inner join doubtful_{{ entity }} as doubtful on doubtful.order_id = lines.order_id
    left join {{ ref('dispositions_' ~ entity) }} as dispositions on {{ same_row('lines', 'dispositions') }}
    where dispositions._source is null
        or (dispositions.rule = 'exact_duplicate' and {{ is_equal_line('lines') }})

),

settled_{{ entity }} as (

    {{ settled_lines('delivered_' ~ entity) }}

),

read_{{ entity }} as (

    select *, {{ is_equal_line('settled') }} as is_equal
    from settled_{{ entity }} as settled

),

decided_{{ entity }} as (

    select
        lines.order_id,
        {{ comes_to_total('lines', 'orders', shipping, tax) }}
            <> {{ comes_to_total('lines', 'orders', shipping, tax, where='not is_equal') }} as is_by_total
    from read_{{ entity }} as lines
    inner join {{ ref('orders') }} as orders on orders.order_id = lines.order_id
    group by lines.order_id

),
{% endfor %}

united as (

    {% for entity in ['order_items', 'order_lines'] %}
    select
        {{ label("'" ~ entity ~ "'") }} as entity, lines._source as source, lines.order_id,
        case when lines.is_kept then 'kept' else {{ label("'merged'") }} end as outcome,
        case when decided.is_by_total then 'the order''s total' else {{ label("'the mapping'") }} end as decided_by,
        lines.quantity,
        {{ amount('coalesce(lines.amount, 0) - coalesce(lines.settled_discount, 0)') }} as amount,
        lines._source_file as source_file, lines._source_row as source_row
    from read_{{ entity }} as lines
    left join decided_{{ entity }} as decided on decided.order_id = lines.order_id
    where lines.is_equal
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select *
from united
