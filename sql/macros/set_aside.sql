{# One row per staged row of an entity that does not become a clean row of its own, with its fate:

     quarantined  a row rule refused it (rule and reason from lib.standardize), its key was delivered twice in the
                  same file with different content and nothing tells which is right, or it waits for its order
     merged       an exact duplicate, the same content in another source, or an older version of a row that a later
                  delivery replaced

   Of several rows with one key the newest wins: by the column that tells versions apart where the entity has one, then
   by file name and row, so that the outcome does not depend on the order of arrival. With `needs_order`, a row whose
   order is not known waits in quarantine and is released by the build that finds the order. #}
{% macro set_aside(entity, version_column=none, needs_order=false) %}
{%- set version = version_column if version_column else 'cast(null as timestamp)' -%}
{%- set staged_rows = source('stage', entity) -%}
{%- set keys = ref('touched_keys') -%}
{%- set orders = ref('orders') if needs_order else none -%}
with
{% if is_incremental() %}
touched_rows as (

    select
        staged._key, staged._row_hash, staged._reject_rule, staged._reject_reason,
        {{ 'staged.' ~ version_column ~ ',' if version_column }}
        {{ 'staged.order_id,' if needs_order }}
        staged._source, staged._source_file, staged._source_row
    from {{ staged_rows }} as staged
    where {{ is_in(row_key('staged'), keys, 'key', entity) }}

),
{%- set staged_rows = 'touched_rows' %}
{% endif %}
refused as (

    select
        staged._source, staged._source_file, staged._source_row, {{ row_key('staged') }} as row_key,
        {{ label("'quarantined'") }} as fate, staged._reject_rule as rule, staged._reject_reason as reason
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
            when _row_hash = kept_hash and _source <> kept_source and rank_in_source = 1 then 'in_another_source'
            when _row_hash = kept_hash then 'exact_duplicate'
            when version_at < kept_version_at or _source_file <> kept_file or _source <> kept_source then 'older_version'
            else 'conflicting_duplicate'
        end as rule
    from ranked
    where rank_in_key > 1

),

repeated as (

    select
        _source, _source_file, _source_row, _key as row_key,
        case when rule = 'conflicting_duplicate' then 'quarantined' else {{ label("'merged'") }} end as fate,
        rule,
        case rule
            when 'exact_duplicate' then 'same content as '
            when 'in_another_source' then 'same content as ' || kept_source || ', '
            when 'older_version' then 'replaced by '
            else 'key ' || _key || ' stands again with other content in '
        end || kept_file || ' row ' || cast(kept_row as varchar) as reason
    from judged

)
{% if needs_order %},

orphans as (

    select
        staged._source, staged._source_file, staged._source_row, {{ row_key('staged') }} as row_key,
        {{ label("'quarantined'") }} as fate,
        'unknown_order' as rule,
        'order ' || staged.order_id || ' has not been delivered' as reason
    from {{ staged_rows }} as staged
    left join {{ orders }} as orders on orders.order_id = staged.order_id
    left join repeated on {{ same_row('staged', 'repeated') }}
    where orders.order_id is null and repeated._source is null and staged._reject_rule is null

)
{% endif %}
select * from refused
union all
select * from repeated
{% if needs_order %}
union all
select * from orphans
{% endif %}
{% endmacro %}

{# The order of the rows with one key, the one that stays first; total, and the same on every engine. #}
{% macro newest_first(staged, version) -%}
{{ version }} desc nulls last, {{ staged }}._source_file desc nulls last, {{ staged }}._source_row desc nulls last,
            {{ staged }}._source desc nulls last
{%- endmacro %}

{# The condition that joins a staged row with its fate. #}
{% macro same_row(staged, fate) -%}
{{ fate }}._source = {{ staged }}._source and {{ fate }}._source_file = {{ staged }}._source_file and {{ fate }}._source_row = {{ staged }}._source_row
{%- endmacro %}

{# The staged rows of an entity that were not set aside; in an increment those of touched orders, or of touched keys
   where `by` is 'key'. Planners see an anti join, and guess its rows well, where a column of the join itself is
   null. #}
{% macro accepted(entity, by='order') -%}
{%- set staged = source('stage', entity) -%}
select staged.*
from {{ of_touched(staged) if by == 'order' else of_touched_keys(staged, entity, row_key('staged')) }} as staged
left join {{ of_touched_keys(ref('set_aside_' ~ entity), entity, 'row_key') }} as fate on {{ same_row('staged', 'fate') }}
where fate._source is null
{%- endmacro %}

{# The quarantine of an entity: each refused row whole, with rule and reason. #}
{% macro quarantined(entity) -%}
select
    staged.*,
    fate.rule as _rule,
    fate.reason as _reason
from {{ source('stage', entity) }} as staged
inner join {{ of_touched_keys(ref('set_aside_' ~ entity), entity, 'row_key') }} as fate on {{ same_row('staged', 'fate') }}
where fate.fate = 'quarantined'
{%- endmacro %}
