-- One row per source and entity: every row read is staged or replaced by a later delivery of its file, and every staged
-- row is clean, merged, quarantined or left out; none is unaccounted for.
{%- set entities = ['customers', 'products', 'orders', 'order_items', 'payments', 'events', 'order_lines'] %}
with delivered as (

    select entity, source, sum(coalesce(read_rows, rows)) as read_rows
    from {{ source('ops', 'batches') }}
    group by entity, source
    having sum(coalesce(read_rows, rows)) > 0

),

staged as (

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

dispositions as (

    {% for entity in entities %}
    select
        {{ label("'" ~ entity ~ "'") }} as entity, _source as source,
        count(*) filter (where rule in ('exact_duplicate', 'delivered_again', 'repeated_event')) as exact_duplicates,
        count(*) filter (where rule = 'in_another_source') as in_another_source,
        count(*) filter (
            where disposition = 'merged'
                and rule not in ('exact_duplicate', 'delivered_again', 'repeated_event', 'in_another_source', 'restated')
        ) as older_versions,
        count(*) filter (where rule = 'restated') as restated_rows,
        count(*) filter (where disposition = 'left_out') as left_out_rows
    from {{ ref('dispositions_' ~ entity) }}
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

),

counted as (

    select
        delivered.source,
        delivered.entity,
        cast(delivered.read_rows as bigint) as read_rows,
        coalesce(staged.staged_rows, 0) as staged_rows,
        coalesce(clean.clean_rows, 0) as clean_rows,
        coalesce(dispositions.exact_duplicates, 0) as exact_duplicates,
        coalesce(dispositions.in_another_source, 0) as in_another_source,
        coalesce(dispositions.older_versions, 0) as older_versions,
        coalesce(dispositions.restated_rows, 0) as restated_rows,
        coalesce(dispositions.left_out_rows, 0) as left_out_rows,
        coalesce(quarantined.quarantined_rows, 0) as quarantined_rows
    from delivered
    left join staged on staged.entity = delivered.entity and staged.source = delivered.source
    left join clean on clean.entity = delivered.entity and clean.source = delivered.source
    left join dispositions on dispositions.entity = delivered.entity and dispositions.source = delivered.source
    left join quarantined on quarantined.entity = delivered.entity and quarantined.source = delivered.source

)

select
    source,
    entity,
    read_rows,
    read_rows - staged_rows as replaced_rows,
    staged_rows,
    clean_rows,
    exact_duplicates,
    in_another_source,
    older_versions,
    restated_rows,
    quarantined_rows,
    left_out_rows,
    staged_rows - clean_rows - exact_duplicates - in_another_source - older_versions - restated_rows - quarantined_rows
        - left_out_rows as unaccounted_rows
from counted
