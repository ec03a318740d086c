{# What documents state of orders: which lines came back, which statement of an order is its newest, and which of several
   values counts. #}

{# Whether a line states what came back. #}
{% macro came_back(line) -%}
(coalesce({{ line }}.is_return, false) or coalesce({{ line }}.quantity < 0, false)
    or coalesce(coalesce({{ line }}.line_total, {{ line }}.line_amount, {{ line }}.unit_price) < 0, false))
{%- endmacro %}

{# Whether a line has no number of its own and its document has the same line again, further on. #}
{% macro is_equal_line(line) -%}
({{ line }}.line_number is null and length({{ line }}._key) > length({{ line }}.order_id) + 33)
{%- endmacro %}

{# The part of the key that equal lines have in common. #}
{% macro equal_lines_key(line) -%}
case when {{ line }}.line_number is null then substr({{ line }}._key, 1, length({{ line }}.order_id) + 33) else {{ line }}._key end
{%- endmacro %}

{# A text by which names are in the order of the numbers in them: export_9.csv, export_10.csv. #}
{% macro natural_order(text) %}{{ adapter.dispatch('natural_order', 'shop')(text) }}{% endmacro %}
{% macro default__natural_order(text) -%}
regexp_replace(regexp_replace(regexp_replace({{ text }}, '([.][A-Za-z]+)+$', ''), '([0-9]+)', '00000000000\1', 'g'), '0*([0-9]{12})', '\1', 'g')
{%- endmacro %}

{# One row per source, order and document whose statement of the order does not count, because a newer one is there: by
   the time of the statement, then by the documents' names, where the same statement under several names has the first
   of them. A document with nothing but returns of the order states no sale anew. An export that was cut into files may
   cut an order: where the lines of all documents come to its total, and those of the newest alone do not, all count. #}
{% macro older_statements(entity) -%}
{%- set shipping, tax = ('line_shipping_amount', 'line_tax_amount') if entity == 'order_lines' else ('shipping_amount', 'tax_amount') -%}
with stated_again as (

    select _source, order_id
    from {{ source('stage', entity) }} as staged
    where _stated_at is not null and order_id is not null
        {{ and_affected(row_key('staged'), by='affected_keys', entity=entity) }}
    group by _source, order_id
    having min(_source_file) <> max(_source_file)

),

statements as (

    select
        staged._source, staged.order_id, staged._source_file,
        bool_and({{ came_back('staged') }}) as is_return,
        max(staged._stated_at) as stated_at,
        md5(string_agg(staged._row_hash, ',' order by staged._row_hash)) as content
    from {{ source('stage', entity) }} as staged
    inner join stated_again on stated_again._source = staged._source and stated_again.order_id = staged.order_id
    where staged._stated_at is not null
        and (staged._reject_rule is null or staged._reject_rule not in {{ left_out_rules() }})
    group by staged._source, staged.order_id, staged._source_file

),

named as (

    select
        *,
        min({{ natural_order('_source_file') }}) over (
            partition by _source, order_id, is_return, stated_at, content
        ) as first_name
    from statements

),

ranked as (

    select
        *,
        row_number() over newest_first as place,
        first_value(_source_file) over newest_first as newest_file
    from named
    window newest_first as (
        partition by _source, order_id, is_return
        order by
            stated_at desc nulls last, first_name desc nulls last, {{ natural_order('_source_file') }} desc nulls last,
            _source_file desc nulls last
    )

),

stated as (

    select lines.*, ranked.place
    from {{ source('stage', entity) }} as lines
    inner join ranked
        on ranked._source = lines._source and ranked.order_id = lines.order_id and ranked._source_file = lines._source_file
    where lines._reject_rule is null

),

stated_totals as (

    {% if entity == 'order_lines' %}
    select
        order_id, max(total_amount) as total_amount, max(abs(order_discount_amount)) as discount_amount,
        max(shipping_amount) as shipping_amount, max(tax_amount) as tax_amount
    from stated
    group by order_id
    {% else %}
    select order_id, total_amount, discount_amount, shipping_amount, tax_amount
    from {{ ref('orders') }}
    where order_id in (select order_id from stated)
    {% endif %}

),

cut as (

    select lines._source, lines.order_id
    from (
        {{ settled_lines('stated') }}
    ) as lines
    inner join stated_totals on stated_totals.order_id = lines.order_id
    group by lines._source, lines.order_id
    having count(*) = count(distinct lines._key)
        and {{ comes_to_total('lines', 'stated_totals', shipping, tax) }}
        and not {{ comes_to_total('lines', 'stated_totals', shipping, tax, where='place = 1') }}

)

select
    ranked._source, ranked.order_id, ranked._source_file,
    'order ' || ranked.order_id || ' is stated anew in ' || ranked.newest_file as reason
from ranked
left join cut on cut._source = ranked._source and cut.order_id = ranked.order_id
where ranked.place > 1 and cut.order_id is null
{%- endmacro %}

{# The staged rows of order lines that say something of their order: those that count, and those that were merged into
   others, which may state what these leave blank. In the order of `place` within an order, the row that counts first.
   Over the step `states`. #}
{% macro stated_lines() -%}
select
    staged.*,
    dispositions._source is null as is_accepted,
    row_number() over (
        partition by staged.order_id
        order by
            dispositions._source is not null, {{ came_back('staged') }}, staged._stated_at desc nulls last,
            staged.updated_at desc nulls last, staged.ordered_at desc nulls last,
            case coalesce(states.state, 'sale') when 'sale' then 1 when 'unclear' then 2 when 'pending' then 3 else 4 end,
            staged._source_file, staged._source_row, staged._source
    ) as place
from (
    select *
    from {{ source('stage', 'order_lines') }}
    {{ where_affected('order_id', by='affected_orders') }}
) as staged
left join states on states.status = staged.status
left join (
    select *
    from {{ ref('dispositions_order_lines') }}
    {{ where_affected('row_key', by='affected_keys', entity='order_lines') }}
) as dispositions on {{ same_row('staged', 'dispositions') }}
where dispositions._source is null or dispositions.disposition = 'merged'
{%- endmacro %}

{# Of the rows of a group, the value of the first one by `place` that has one. #}
{% macro first_stated(value, place='place') %}{{ adapter.dispatch('first_stated', 'shop')(value, place) }}{% endmacro %}
{% macro default__first_stated(value, place) -%}
arg_min({{ value }}, {{ place }}) filter (where ({{ value }}) is not null)
{%- endmacro %}
{% macro postgres__first_stated(value, place) -%}
(array_agg({{ value }} order by {{ place }}) filter (where ({{ value }}) is not null))[1]
{%- endmacro %}

{# The value that occurs most often, first on lines of some amount, then on others: where stock is written off, people type
   remarks such as "damaged" or "thrown away" where a name belongs. One row per id. #}
{% macro most_frequent(relation, id, value) -%}
select {{ id }}, {{ value }}
from (
    select
        {{ id }}, {{ value }},
        row_number() over (
            partition by {{ id }}
            order by
                count(*) filter (where unit_price <> 0 or line_total <> 0 or line_amount <> 0) desc nulls last,
                count(*) desc nulls last, max(ordered_at) desc nulls last, {{ value }}
        ) as place
    from {{ relation }}
    where {{ value }} is not null
    group by {{ id }}, {{ value }}
) as counted
where place = 1
{%- endmacro %}

{# When, by whom and in which file an order was placed, in words. #}
{% macro placed_text(row) -%}
cast(cast({{ local_time(row ~ '.ordered_at') }} as date) as varchar) || case when {{ row }}.customer_id is not null then ' of customer ' || {{ row }}.customer_id else '' end || ' (' || {{ row }}._source_file || ' row ' || cast({{ row }}._source_row as varchar) || ')'
{%- endmacro %}
