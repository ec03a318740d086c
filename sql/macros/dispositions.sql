{# Row dispositions: what becomes of a staged row that is no clean row of its own, with the rule and the reason.

     left_out     it is no record at all, such as a header that stands again, a totals row, or what `where` leaves out
     quarantined  a row rule refused it (lib.clean.standardize), its order's number stands for two orders, its key was
                  delivered twice in the same file with different content and nothing shows which is right, or it waits
                  for its order, its customer or a price
     merged       a newer statement of its order counts, it has the same content as another row with its key, in the same
                  file, another one or another source, or is an older version of a row that a later delivery replaced

   The models dispositions_* put the macros below together; each gives one query, over the step `staged`. #}

{# The row rules by which a row is left out, neither used nor refused. #}
{% macro left_out_rules() %}('left_out', 'repeated_header', 'totals_row'){% endmacro %}

{# The staged rows of an entity, in an increment the affected ones, with what becomes of those of which that is known
   without regard to other rows with their key. `version` distinguishes versions of one row. Over the step
   `older_statements` where the entity is of lines. #}
{% macro staged_rows(entity, version='cast(null as timestamp)', and_columns=()) -%}
{%- set has_numbers, has_statements = entity in ('orders', 'order_lines'), entity in ('order_items', 'order_lines') -%}
select
    staged._key, {{ row_key('staged') }} as row_key, staged._row_hash, staged._issues, {{ version }} as version_at,
    case
        when staged._reject_rule in {{ left_out_rules() }} then 'left_out'
        when staged._reject_rule is not null then 'quarantined'
        {% if has_numbers %}when reused.order_id is not null then 'quarantined'{% endif %}
        {% if has_statements %}when older.order_id is not null then {{ label("'merged'") }}{% endif %}
    end as disposition,
    {%- if has_numbers or has_statements %}
    case
        when staged._reject_rule is not null then staged._reject_rule
        {% if has_numbers %}when reused.order_id is not null then 'reused_order_number'{% endif %}
        {% if has_statements %}when older.order_id is not null then 'restated'{% endif %}
    end as rule,
    case
        when staged._reject_rule is not null then staged._reject_reason
        {% if has_numbers %}when reused.order_id is not null then reused.reason{% endif %}
        {% if has_statements %}when older.order_id is not null then older.reason{% endif %}
    end as reason,
    {%- else %}
    staged._reject_rule as rule, staged._reject_reason as reason,
    {%- endif %}
    {% for column in and_columns %}staged.{{ column }}, {% endfor -%}
    staged._source, staged._source_file, staged._source_row
from {{ source('stage', entity) }} as staged
{% if has_numbers -%}
left join {{ ref('reused_order_numbers') }} as reused on reused.order_id = staged.order_id
{% endif -%}
{% if has_statements -%}
left join older_statements as older
    on older._source = staged._source and older.order_id = staged.order_id and older._source_file = staged._source_file
    and staged._stated_at is not null
{% endif -%}
{{ where_affected(row_key('staged'), by='affected_keys', entity=entity) }}
{%- endmacro %}

{# Rows that a row rule refused or left out, whose order's number is refused, or whose order is stated anew. #}
{% macro refused_rows() -%}
select _source, _source_file, _source_row, row_key, disposition, rule, reason
from staged
where rule is not null
{%- endmacro %}

{# Rows whose key another row has too, all but the newest: it wins by its version, then where all its cells could be
   read, then by file name and row, so that the outcome does not depend on the order of arrival. #}
{% macro repeated_rows(entity) -%}
{%- set is_event = entity == 'events' -%}
{%- set same_file_rule = 'repeated_event' if is_event else 'exact_duplicate' -%}
{%- set other_file_rule = 'repeated_event' if is_event else 'delivered_again' -%}
with repeated_keys as (

    select _key
    from staged
    where rule is null
    group by _key
    having count(*) > 1

),

ranked as (

    select
        staged._source, staged._source_file, staged._source_row, staged._key, staged._row_hash, staged.version_at,
        row_number() over newest_first as rank_in_key,
        row_number() over (
            partition by staged._key, staged._source, staged._row_hash
            order by {{ newest_first('staged') }}
        ) as rank_in_source,
        first_value(staged._source_row) over (
            partition by staged._key, staged._source, staged._row_hash, staged._source_file
            order by {{ newest_first('staged') }}
        ) as same_content_row,
        first_value(staged._row_hash) over newest_first as newest_hash,
        first_value(staged.version_at) over newest_first as newest_version_at,
        first_value(staged._source) over newest_first as newest_source,
        first_value(staged._source_file) over newest_first as newest_file,
        first_value(staged._source_row) over newest_first as newest_row
    from staged
    inner join repeated_keys on repeated_keys._key = staged._key
    where staged.rule is null
    window newest_first as (
        partition by staged._key
        order by {{ newest_first('staged') }}
    )

),

judged as (

    select
        *,
        case
            when _source_row <> same_content_row then '{{ same_file_rule }}'
            when _row_hash = newest_hash and _source <> newest_source and rank_in_source = 1 then 'in_another_source'
            when _row_hash = newest_hash then '{{ other_file_rule }}'
            when version_at < newest_version_at or _source_file <> newest_file or _source <> newest_source then 'older_version'
            else 'conflicting_duplicate'
        end as rule
    from ranked
    where rank_in_key > 1

)

select
    _source, _source_file, _source_row, _key as row_key,
    case when rule = 'conflicting_duplicate' then 'quarantined' else {{ label("'merged'") }} end as disposition,
    rule,
    case rule
        when 'in_another_source' then 'same content as ' || newest_source || ', '
        when 'older_version' then 'replaced by '
        when 'conflicting_duplicate' then 'key ' || _key || ' stands again with other content in '
        else 'same content as '
    end || case
        when _source_row <> same_content_row then _source_file || ' row ' || cast(same_content_row as varchar)
        else newest_file || ' row ' || cast(newest_row as varchar)
    end as reason
from judged
{%- endmacro %}

{# Equal lines of one document that are one line: where the order's total fits one reading of the order alone, that one
   holds, else what the mapping says (`equal_lines`). Over the steps `repeated` and `totals`, the latter one row per
   order with its total and what else the total holds. #}
{% macro equal_rows(entity) -%}
{%- set shipping, tax = ('line_shipping_amount', 'line_tax_amount') if entity == 'order_lines' else ('shipping_amount', 'tax_amount') -%}
with orders_with_equal_lines as (

    select order_id
    from staged
    where rule is null and {{ is_equal_line('staged') }}
    group by order_id

),

left_lines as (

    select lines.*, staged.row_key
    from staged
    inner join orders_with_equal_lines on orders_with_equal_lines.order_id = staged.order_id
    inner join {{ source('stage', entity) }} as lines on {{ same_row('staged', 'lines') }}
    left join repeated on {{ same_row('staged', 'repeated') }}
    where staged.rule is null and repeated._source is null

),

lines as (

    select
        *,
        {{ equal_lines_key('settled') }} as equal_key,
        {{ is_equal_line('settled') }} as is_equal
    from (
        {{ settled_lines('left_lines') }}
    ) as settled

),

readings as (

    select
        lines.order_id,
        {{ comes_to_total('lines', 'totals', shipping, tax) }} as fits_kept,
        {{ comes_to_total('lines', 'totals', shipping, tax, where='not is_equal') }} as fits_merged
    from lines
    inner join totals on totals.order_id = lines.order_id
    group by lines.order_id

),

placed as (

    select
        *,
        first_value(_source_file || ' row ' || cast(_source_row as varchar)) over (
            partition by equal_key order by is_equal, _source_file, _source_row, _source
        ) as first_line
    from lines

)

select
    placed._source, placed._source_file, placed._source_row, placed.row_key,
    {{ label("'merged'") }} as disposition,
    {{ label("'exact_duplicate'") }} as rule,
    'same content as ' || placed.first_line
        || case when readings.fits_merged and not readings.fits_kept then ', and the order''s total is without it' else '' end as reason
from placed
left join readings on readings.order_id = placed.order_id
left join {{ source('ops', 'mappings') }} as mappings on mappings.source = placed._source and mappings.entity = '{{ entity }}'
where placed.is_equal
    and case
        when coalesce(readings.fits_merged, false) <> coalesce(readings.fits_kept, false) then readings.fits_merged
        else mappings.equal_lines = 'merge'
    end
{%- endmacro %}

{# Lines that no price is known for, of orders that were not cancelled and do not wait. Over the step `states`, one row
   per order. #}
{% macro rows_without_price(entity) -%}
select
    staged._source, staged._source_file, staged._source_row, staged.row_key,
    {{ label("'quarantined'") }} as disposition,
    {{ label("'missing_unit_price'") }} as rule,
    'unit_price is missing, and so are line_total and line_amount' as reason
from staged
inner join states on states.order_id = staged.order_id
left join repeated on {{ same_row('staged', 'repeated') }}
where {{ is_priceless('staged', entity) }} and repeated._source is null and staged.rule is null
    and states.state not in ('cancelled', 'pending', 'failed')
{%- endmacro %}

{# Rows of lines or payments whose order is not known, or in quarantine: they wait there too. The build that finds the
   order releases them. Over the step `repeated` too. #}
{% macro rows_without_order() -%}
with quarantined_orders as (

    {% for entity in ['orders', 'order_lines'] %}
    select order_id, _rule
    from {{ ref('quarantined_' ~ entity) }}
    where order_id is not null and _rule <> 'conflicting_duplicate'
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- By the rule that keeps the order itself out.
kept_out as (

    select order_id, min(_rule) as rule
    from quarantined_orders
    group by order_id

)

select
    staged._source, staged._source_file, staged._source_row, staged.row_key,
    {{ label("'quarantined'") }} as disposition,
    case when kept_out.order_id is null then 'unknown_order' else {{ label("'order_in_quarantine'") }} end as rule,
    case
        when kept_out.order_id is null then 'order ' || staged.order_id || ' has not been delivered'
        else 'order ' || staged.order_id || ' is in quarantine: ' || kept_out.rule
    end as reason
from staged
left join {{ ref('orders') }} as orders on orders.order_id = staged.order_id
left join repeated on {{ same_row('staged', 'repeated') }}
left join kept_out on kept_out.order_id = staged.order_id
where orders.order_id is null and repeated._source is null and staged.rule is null
{%- endmacro %}

{# Rows of orders whose customer nobody delivers: they wait until somebody does. Over the step `repeated` too. #}
{% macro rows_without_customer() -%}
{%- set customers, order_lines = source('stage', 'customers'), source('stage', 'order_lines') -%}
with known as {{ inlined() }} (

    select customer_id from {{ customers }} where _reject_rule is null
    union all
    select customer_id from {{ order_lines }} where _reject_rule is null and customer_id is not null

)

select
    staged._source, staged._source_file, staged._source_row, staged.row_key,
    {{ label("'quarantined'") }} as disposition,
    {{ label("'unknown_customer'") }} as rule,
    'customer ' || staged.customer_id || ' has not been delivered' as reason
from staged
left join repeated on {{ same_row('staged', 'repeated') }}
where repeated._source is null and staged.rule is null
    and staged.customer_id is not null and staged.customer_id <> 'unknown'
    and '{{ var("unknown_customers") }}' = 'quarantine'
    and exists (select 1 from {{ customers }})
    and not exists (select 1 from known where known.customer_id = staged.customer_id)
{%- endmacro %}

{# The order of the rows with one key, the one that stays first; total, and the same on every engine. #}
{% macro newest_first(staged) -%}
{{ staged }}.version_at desc nulls last, {{ staged }}._issues is not null, {{ staged }}._source_file desc nulls last,
            {{ staged }}._source_row desc nulls last, {{ staged }}._source desc nulls last
{%- endmacro %}

{# The condition that two rows come from the same place of a delivery. #}
{% macro same_row(staged, other) -%}
{{ other }}._source = {{ staged }}._source
    and {{ other }}._source_file = {{ staged }}._source_file
    and {{ other }}._source_row = {{ staged }}._source_row
{%- endmacro %}

{# The staged rows of an entity that become clean rows; in an increment those of affected orders, or of affected keys
   where `by` is affected_keys. Planners see an anti join, and guess its rows well, where a column of the join itself is
   null. #}
{% macro accepted(entity, by='affected_orders') -%}
select staged.*
from (
    select *
    from {{ source('stage', entity) }} as staged
    {{ where_affected(row_key('staged'), by, entity) if by == 'affected_keys' else where_affected('order_id', by) }}
) as staged
left join (
    select *
    from {{ ref('dispositions_' ~ entity) }}
    {{ where_affected('row_key', by='affected_keys', entity=entity) }}
) as dispositions on {{ same_row('staged', 'dispositions') }}
where dispositions._source is null
{%- endmacro %}

{# The quarantine of an entity: each refused row whole, with rule and reason. #}
{% macro quarantined(entity) -%}
select
    staged.*,
    dispositions.rule as _rule,
    dispositions.reason as _reason
from {{ source('stage', entity) }} as staged
inner join (
    select *
    from {{ ref('dispositions_' ~ entity) }}
    {{ where_affected('row_key', by='affected_keys', entity=entity) }}
) as dispositions on {{ same_row('staged', 'dispositions') }}
where dispositions.disposition = 'quarantined'
{%- endmacro %}
