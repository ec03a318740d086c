{# One row per staged row of an entity that does not become a clean row of its own, with its fate:

     quarantined  a row rule refused it (rule and reason from lib.standardize), or its key was delivered twice in
                  the same file with different content and nothing tells which is right
     merged       an exact duplicate, or an older version of a row that a later delivery replaced

   Of several rows with one key the newest wins: by `updated_at` where the entity has it, then by file name and
   row, so that the outcome does not depend on the order of arrival. #}
{% macro set_aside(entity, version_column=none) %}
{%- set version = version_column if version_column else 'cast(null as timestamp)' -%}
with refused as (

    select
        _source, _source_file, _source_row,
        {{ label("'quarantined'") }} as fate, _reject_rule as rule, _reject_reason as reason
    from {{ source('stage', entity) }}
    where _reject_rule is not null

),

repeated_keys as (

    select _key
    from {{ source('stage', entity) }}
    where _reject_rule is null
    group by _key
    having count(*) > 1

),

ranked as (

    select
        staged._source, staged._source_file, staged._source_row, staged._key, staged._row_hash,
        {{ version }} as version_at,
        row_number() over newest_first as rank_in_key,
        first_value(staged._row_hash) over newest_first as kept_hash,
        first_value({{ version }}) over newest_first as kept_version_at,
        first_value(staged._source) over newest_first as kept_source,
        first_value(staged._source_file) over newest_first as kept_file,
        first_value(staged._source_row) over newest_first as kept_row
    from {{ source('stage', entity) }} as staged
    inner join repeated_keys on repeated_keys._key = staged._key
    where staged._reject_rule is null
    window newest_first as (
        partition by staged._key
        order by
            {{ version }} desc nulls last, staged._source_file desc nulls last, staged._source_row desc nulls last,
            staged._source desc nulls last
    )

),

judged as (

    select
        *,
        case
            when _row_hash = kept_hash then 'exact_duplicate'
            when version_at < kept_version_at or _source_file <> kept_file or _source <> kept_source then 'older_version'
            else 'conflicting_duplicate'
        end as rule
    from ranked
    where rank_in_key > 1

)

select * from refused
union all
select
    _source, _source_file, _source_row,
    case when rule = 'conflicting_duplicate' then 'quarantined' else {{ label("'merged'") }} end as fate,
    rule,
    case rule
        when 'exact_duplicate' then 'same content as '
        when 'older_version' then 'replaced by '
        else 'key ' || _key || ' stands again with other content in '
    end || kept_file || ' row ' || cast(kept_row as varchar) as reason
from judged
{% endmacro %}

{# The condition that joins a staged row with its fate. #}
{% macro same_row(staged, fate) -%}
{{ fate }}._source = {{ staged }}._source and {{ fate }}._source_file = {{ staged }}._source_file and {{ fate }}._source_row = {{ staged }}._source_row
{%- endmacro %}

{# The staged rows of an entity that were not set aside. Planners see an anti join, and guess its rows well, where a
   column of the join itself is null. #}
{% macro accepted(entity) -%}
select staged.*
from {{ source('stage', entity) }} as staged
left join {{ ref('set_aside_' ~ entity) }} as fate on {{ same_row('staged', 'fate') }}
where fate._source is null
{%- endmacro %}

{# The quarantine of an entity: each refused row whole, with rule and reason. #}
{% macro quarantined(entity) -%}
select
    staged.*,
    fate.rule as _rule,
    fate.reason as _reason
from {{ source('stage', entity) }} as staged
inner join {{ ref('set_aside_' ~ entity) }} as fate on {{ same_row('staged', 'fate') }}
where fate.fate = 'quarantined'
{%- endmacro %}

{# The same for rows that belong to an order: one whose order is not known waits in quarantine and is released by
   the build that finds the order. #}
{% macro set_aside_without_order(entity) %}
with set_aside as (

    {{ set_aside(entity) }}

),

orphans as (

    select
        staged._source, staged._source_file, staged._source_row,
        {{ label("'quarantined'") }} as fate,
        'unknown_order' as rule,
        'order ' || staged.order_id || ' has not been delivered' as reason
    from {{ source('stage', entity) }} as staged
    left join {{ ref('orders') }} as orders on orders.order_id = staged.order_id
    left join set_aside on {{ same_row('staged', 'set_aside') }}
    where orders.order_id is null and set_aside._source is null

)

select * from set_aside
union all
select * from orphans
{% endmacro %}
