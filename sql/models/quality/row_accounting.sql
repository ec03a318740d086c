-- One row per source and entity: every staged row is clean, merged or quarantined, and none is unaccounted for.
{%- set entities = ['customers', 'products', 'orders', 'order_items', 'payments', 'order_lines'] %}
with staged as (

    {% for entity in entities %}
    select {{ label("'" ~ entity ~ "'") }} as entity, _source as source, count(*) as staged_rows
    from {{ source('stage', entity) }}
    group by _source
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

clean as (

    {% for entity in entities %}
    {%- set table = 'order_items' if entity == 'order_lines' else entity %}
    select {{ label("'" ~ entity ~ "'") }} as entity, _source as source, count(*) as clean_rows
    from {{ ref(table) }}
    where _entity = '{{ entity }}'
    group by _source
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

set_aside as (

    {% for entity in entities %}
    select
        {{ label("'" ~ entity ~ "'") }} as entity, _source as source,
        count(*) filter (where rule = 'exact_duplicate') as exact_duplicates,
        count(*) filter (where rule = 'older_version') as older_versions
    from {{ ref('set_aside_' ~ entity) }}
    group by _source
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

quarantined as (

    {% for entity in entities %}
    select {{ label("'" ~ entity ~ "'") }} as entity, _source as source, count(*) as quarantined_rows
    from {{ ref('quarantined_' ~ entity) }}
    group by _source
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    staged.source,
    staged.entity,
    staged.staged_rows,
    coalesce(clean.clean_rows, 0) as clean_rows,
    coalesce(set_aside.exact_duplicates, 0) as exact_duplicates,
    coalesce(set_aside.older_versions, 0) as older_versions,
    coalesce(quarantined.quarantined_rows, 0) as quarantined_rows,
    staged.staged_rows - coalesce(clean.clean_rows, 0) - coalesce(set_aside.exact_duplicates, 0)
        - coalesce(set_aside.older_versions, 0) - coalesce(quarantined.quarantined_rows, 0) as unaccounted_rows
from staged
left join clean on clean.entity = staged.entity and clean.source = staged.source
left join set_aside on set_aside.entity = staged.entity and set_aside.source = staged.source
left join quarantined on quarantined.entity = staged.entity and quarantined.source = staged.source
