{# One row per staged row of an entity that does not become a clean row of its own, with its disposition:

     quarantined  a row rule refused it (rule and reason from lib.clean.standardize), its key was delivered twice in the
                  same file with different content and nothing tells which is right, or it waits for its order or
                  its customer
     merged       the same content as another row with its key, in the same file, another one or another source, or an
                  older version of a row that a later delivery replaced

   Of several rows with one key the newest wins: by the column that tells versions apart where the entity has one, then
   one without faulty cells, then by file name and row, so that the outcome does not depend on the order of arrival.
   With `needs_order`, a row whose order is not known, or is in quarantine, waits there too; with `needs_customer`, one
   whose customer nobody delivers. The build that finds the order or customer releases them. #}
{% macro dispositions(entity, version_column=none, needs_order=false, needs_customer=false) %}
{%- set repeated_rule, delivered_again_rule = ('repeated_event', 'repeated_event') if entity == 'events' else ('exact_duplicate', 'delivered_again') -%}
{%- set version = version_column if version_column else 'cast(null as timestamp)' -%}
{%- set staged_rows = source('stage', entity) -%}
{%- set keys = ref('affected_keys') -%}
{%- set orders = ref('orders') if needs_order else none -%}
{%- set held = [ref('quarantined_orders'), ref('quarantined_order_lines')] if needs_order else [] -%}
{%- set customers, order_lines = (source('stage', 'customers'), source('stage', 'order_lines')) if needs_customer else (none, none) -%}
with
{% if is_incremental() %}
affected_rows as (

    select
        staged._key, staged._row_hash, staged._issues, staged._reject_rule, staged._reject_reason,
        {{ 'staged.' ~ version_column ~ ',' if version_column }}
        {{ 'staged.order_id,' if needs_order }}
        {{ 'staged.customer_id,' if needs_customer }}
        staged._source, staged._source_file, staged._source_row
    from {{ staged_rows }} as staged
    where {{ is_in(row_key('staged'), keys, 'key', entity) }}

),
{%- set staged_rows = 'affected_rows' %}
{% endif %}
refused as (

    select
        staged._source, staged._source_file, staged._source_row, {{ row_key('staged') }} as row_key,
        {{ label("'quarantined'") }} as disposition, staged._reject_rule as rule, staged._reject_reason as reason
    from {{ staged_rows }} as staged
    where staged._reject_rule is not null

),

repeated_keys as (

    select _key
    from {{ staged_rows }}
    where _reject_rule is null
    group by _key
    having count(*) > 1

),

ranked as (

    select
        staged._source, staged._source_file, staged._source_row, staged._key, staged._row_hash,
        {{ version }} as version_at,
        row_number() over newest_first as rank_in_key,
        row_number() over (
            partition by staged._key, staged._source, staged._row_hash
            order by {{ newest_first('staged', version) }}
        ) as rank_in_source,
        first_value(staged._source_row) over (
            partition by staged._key, staged._source, staged._row_hash, staged._source_file
            order by {{ newest_first('staged', version) }}
        ) as same_content_row,
        first_value(staged._row_hash) over newest_first as kept_hash,
        first_value({{ version }}) over newest_first as kept_version_at,
        first_value(staged._source) over newest_first as kept_source,
        first_value(staged._source_file) over newest_first as kept_file,
        first_value(staged._source_row) over newest_first as kept_row
    from {{ staged_rows }} as staged
    inner join repeated_keys on repeated_keys._key = staged._key
    where staged._reject_rule is null
    window newest_first as (
        partition by staged._key
        order by {{ newest_first('staged', version) }}
    )

),

judged as (

    select
        *,
        case
            when _source_row <> same_content_row then '{{ repeated_rule }}'
            when _row_hash = kept_hash and _source <> kept_source and rank_in_source = 1 then 'in_another_source'
            when _row_hash = kept_hash then '{{ delivered_again_rule }}'
            when version_at < kept_version_at or _source_file <> kept_file or _source <> kept_source then 'older_version'
            else 'conflicting_duplicate'
        end as rule
    from ranked
    where rank_in_key > 1

),

repeated as (

    select
        _source, _source_file, _source_row, _key as row_key,
        case when rule = 'conflicting_duplicate' then 'quarantined' else {{ label("'merged'") }} end as disposition,
        rule,
        case rule
            when 'in_another_source' then 'same content as ' || kept_source || ', '
            when 'older_version' then 'replaced by '
            when 'conflicting_duplicate' then 'key ' || _key || ' stands again with other content in '
            else 'same content as '
        end || case
            when _source_row <> same_content_row then _source_file || ' row ' || cast(same_content_row as varchar)
            else kept_file || ' row ' || cast(kept_row as varchar)
        end as reason
    from judged

)
{%- if needs_order %},

-- Orders that are delivered and cannot be used: by the rule that keeps the order itself out.
held as (

    select order_id, min(_rule) as rule
    from (
        select order_id, _rule from {{ held[0] }} where _rule <> 'conflicting_duplicate'
        union all
        select order_id, _rule from {{ held[1] }} where _rule <> 'conflicting_duplicate'
    ) as refused_orders
    where order_id is not null
    group by order_id

),

waiting as (

    select
        staged._source, staged._source_file, staged._source_row, {{ row_key('staged') }} as row_key,
        {{ label("'quarantined'") }} as disposition,
        case when held.order_id is null then 'unknown_order' else {{ label("'order_in_quarantine'") }} end as rule,
        case
            when held.order_id is null then 'order ' || staged.order_id || ' has not been delivered'
            else 'order ' || staged.order_id || ' is in quarantine: ' || held.rule
        end as reason
    from {{ staged_rows }} as staged
    left join {{ orders }} as orders on orders.order_id = staged.order_id
    left join repeated on {{ same_row('staged', 'repeated') }}
    left join held on held.order_id = staged.order_id
    where orders.order_id is null and repeated._source is null and staged._reject_rule is null

)
{%- endif %}
{%- if needs_customer %},

-- Customers that are delivered, or that order lines tell of.
known as {{ inlined() }} (

    select customer_id from {{ customers }} where _reject_rule is null
    union all
    select customer_id from {{ order_lines }} where _reject_rule is null and customer_id is not null

),

waiting as (

    select
        staged._source, staged._source_file, staged._source_row, {{ row_key('staged') }} as row_key,
        {{ label("'quarantined'") }} as disposition,
        {{ label("'unknown_customer'") }} as rule,
        'customer ' || staged.customer_id || ' has not been delivered' as reason
    from {{ staged_rows }} as staged
    left join repeated on {{ same_row('staged', 'repeated') }}
    where repeated._source is null and staged._reject_rule is null
        and staged.customer_id is not null and staged.customer_id <> 'unknown'
        and '{{ var("unknown_customers") }}' = 'quarantine'
        and exists (select 1 from {{ customers }})
        and not exists (select 1 from known where known.customer_id = staged.customer_id)

)
{%- endif %}

select * from refused
union all
select * from repeated
{% if needs_order or needs_customer %}
union all
select * from waiting
{% endif %}
{% endmacro %}

{# The order of the rows with one key, the one that stays first; total, and the same on every engine. #}
{% macro newest_first(staged, version) -%}
{{ version }} desc nulls last, {{ staged }}._issues is not null, {{ staged }}._source_file desc nulls last,
            {{ staged }}._source_row desc nulls last, {{ staged }}._source desc nulls last
{%- endmacro %}

{# The condition that joins a staged row with another row of the same place in a delivery. #}
{% macro same_row(staged, other) -%}
{{ other }}._source = {{ staged }}._source and {{ other }}._source_file = {{ staged }}._source_file and {{ other }}._source_row = {{ staged }}._source_row
{%- endmacro %}

{# The staged rows of an entity that become clean rows; in an increment those of affected orders, or of affected keys
   where `by` is 'key'. Planners see an anti join, and guess its rows well, where a column of the join itself is
   null. #}
{% macro accepted(entity, by='order') -%}
{%- set staged = source('stage', entity) -%}
select staged.*
from {{ of_affected(staged) if by == 'order' else of_affected_keys(staged, entity, row_key('staged')) }} as staged
left join {{ of_affected_keys(ref('dispositions_' ~ entity), entity, 'row_key') }} as dispositions on {{ same_row('staged', 'dispositions') }}
where dispositions._source is null
{%- endmacro %}

{# The quarantine of an entity: each refused row whole, with rule and reason. #}
{% macro quarantined(entity) -%}
select
    staged.*,
    dispositions.rule as _rule,
    dispositions.reason as _reason
from {{ source('stage', entity) }} as staged
inner join {{ of_affected_keys(ref('dispositions_' ~ entity), entity, 'row_key') }} as dispositions on {{ same_row('staged', 'dispositions') }}
where dispositions.disposition = 'quarantined'
{%- endmacro %}
