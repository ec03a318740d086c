{# Versions of dimension rows (SCD2): each is valid from its start up to, and not with, the next one's. #}

{# The first version begins before, and the last ends after, everything that can be dated. #}
{% macro first_moment() %}timestamp '1900-01-01 00:00:00'{% endmacro %}
{% macro last_moment() %}timestamp '9999-12-31 00:00:00'{% endmacro %}

{# The condition that picks, of a dimension's versions, the one of a moment. #}
{% macro valid_at(dimension, moment) -%}
{{ dimension }}.valid_from <= {{ moment }} and {{ moment }} < {{ dimension }}.valid_to
{%- endmacro %}

{# The key of a version: the same on every engine and in every build. #}
{% macro version_key(id, valid_from) %}md5({{ id }} || ' ' || {{ _moment_text(valid_from) }}){% endmacro %}
{% macro _moment_text(moment) %}{{ adapter.dispatch('_moment_text', 'shop')(moment) }}{% endmacro %}
{% macro duckdb___moment_text(moment) %}strftime({{ moment }}, '%Y-%m-%d %H:%M:%S.%f'){% endmacro %}
{% macro postgres___moment_text(moment) %}to_char({{ moment }}, 'YYYY-MM-DD HH24:MI:SS.US'){% endmacro %}

{# One row per version of an entity's rows, with its id, attributes, valid_from, valid_to and is_current.

   Versions are the delivered rows that were not quarantined, in the order by which clean picks the newest: the clean
   row is the current one. A version starts when its source changed the row or, where the source does not say, when it came
   in; one that would start only after a newer one has begun was never valid. Versions in a row with the same
   attributes are one. What is known through order lines or ids alone has the clean row as its only version. #}
{% macro versions(entity, id, attributes) %}
with delivered as (

    select
        staged.{{ id }}, {{ _columns_of('staged', attributes) }}, staged.updated_at,
        coalesce(staged.updated_at, staged._ingested_at) as starts_at,
        staged._source, staged._source_file, staged._source_row,
        dispositions._source is null as is_clean, staged._issues is null as is_whole
    from {{ source('stage', entity) }} as staged
    left join {{ ref('dispositions_' ~ entity) }} as dispositions on {{ same_row('staged', 'dispositions') }}
    where staged.{{ id }} <> 'unknown' and (dispositions._source is null or dispositions.disposition = 'merged')
    union all
    select
        clean.{{ id }}, {{ _columns_of('clean', attributes) }}, clean.updated_at,
        clean.updated_at as starts_at,
        clean._source, clean._source_file, clean._source_row,
        true as is_clean, true as is_whole
    from {{ ref(entity) }} as clean
    where clean.{{ id }} <> 'unknown' and clean._entity <> '{{ entity }}'

),

ranked as (

    select
        *,
        min(starts_at) over (
            partition by {{ id }}
            order by
                is_clean, updated_at nulls first, is_whole, _source_file nulls first, _source_row nulls first,
                _source nulls first
            rows between 1 following and unbounded following
        ) as overtaken_at
    from delivered

),

compared as (

    select
        *,
        row_number() over by_start = 1
        {%- for attribute in attributes %}
            or (lag({{ attribute }}) over by_start) is distinct from {{ attribute }}
        {%- endfor %} as is_changed
    from ranked
    where overtaken_at is null or starts_at < overtaken_at
    window by_start as (partition by {{ id }} order by starts_at)

)

select
    {{ id }}, {{ attributes | join(', ') }},
    case when row_number() over by_start = 1 then {{ first_moment() }} else starts_at end as valid_from,
    coalesce(lead(starts_at) over by_start, {{ last_moment() }}) as valid_to,
    lead(starts_at) over by_start is null as is_current
from compared
where is_changed
window by_start as (partition by {{ id }} order by starts_at)
{% endmacro %}

{% macro _columns_of(relation, columns) -%}
{% for column in columns %}{{ relation }}.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}

{# The product of an order line, as all its versions have it. #}
{% macro product_of(items) -%}
case when {{ items }}.product_key = 'unknown' then 'unknown' else {{ items }}.product_id end
{%- endmacro %}
