-- One row per step of the order lines' way from the sources to the facts. A total's `rows` is what its layer holds, its
-- `change` by how much that differs from what the steps before it leave; another step's `change` is what it removes.
with deliveries as (

    select coalesce(sum(coalesce(read_rows, rows)), 0) as rows
    from ops.batches
    where entity in ('order_items', 'order_lines')

),

documents as (

    select coalesce(sum(value), 0) as rows
    from ops.source_totals
    where measure = 'rows' and entity in ('order_items', 'order_lines')

),

staged as (

    select count(*) as rows from stage.order_items
    union all
    select count(*) as rows from stage.order_lines

),

dispositions as (

    select disposition, rule from ops.dispositions_order_items
    union all
    select disposition, rule from ops.dispositions_order_lines

),

steps as (

    select 1 as position, true as is_total, 'read' as step, rows as moved, 'lines read at the sources' as description
    from deliveries
    union all
    select 2, false, 'replaced', documents.rows - deliveries.rows, 'lines of files that were delivered again since'
    from documents cross join deliveries
    union all
    select 3, true, 'staged', sum(rows), 'lines as they are delivered now' from staged
    union all
    select 4, false, 'exact duplicates', -count(*), 'lines that occur twice in a file and count once'
    from dispositions where disposition = 'merged' and rule = 'exact_duplicate'
    union all
    select 5, false, 'delivered again', -count(*), 'lines that came again in another file with the same content'
    from dispositions where disposition = 'merged' and rule = 'delivered_again'
    union all
    select 6, false, 'older versions', -count(*), 'lines that were replaced by a newer version of the same line'
    from dispositions where disposition = 'merged' and rule = 'older_version'
    union all
    select 7, false, 'in another source', -count(*), 'lines that two systems deliver, and that count once'
    from dispositions where disposition = 'merged' and rule = 'in_another_source'
    union all
    select 8, false, 'quarantined', -count(*), 'lines that cannot be used, or wait for their order'
    from dispositions where disposition = 'quarantined'
    union all
    select 9, true, 'clean', count(*), 'lines that count' from clean.order_items
    union all
    select 10, true, 'facts', count(*), 'lines in the reports' from warehouse.fact_order_items

),

-- Each total begins a new level, which the steps after it lower.
levels as (
    select steps.*, sum(case when is_total then 1 else 0 end) over (order by position) as level from steps
),

leveled as (
    select levels.*, cast(sum(moved) over (partition by level order by position) as bigint) as rows from levels
)

select
    step, rows,
    cast(case when is_total then rows - lag(rows, 1, rows) over (order by position) else moved end as bigint) as change,
    is_total, description
from leveled
order by position
