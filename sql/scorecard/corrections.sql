-- One row per defect that can be put right and was found: a cell, or a record to be merged. A cell of a record that was
-- delivered in several versions has as many values before, and each that it was given must be one of them.
with spoiled as (

    select
        cells.system, cells.entity, cells.key, cells.kind, cells.field, min(cells.before) as before,
        min(cells.after) as after, list(distinct cells.value_before) as values
    from cells
    join kinds on kinds.kind = cells.kind and not kinds.is_merged and kinds.label = 'repairable'
    where cells.label = 'repairable' and cells.field <> ''
    group by cells.system, cells.entity, cells.key, cells.kind, cells.field

)

select
    spoiled.system, spoiled.entity, spoiled.key, spoiled.kind, spoiled.field, spoiled.before, spoiled.after,
    repairs.repaired_to, coalesce(list_has_all(spoiled.values, repairs.values), false) as is_right
from spoiled
join planted on planted.system = spoiled.system and planted.entity = spoiled.entity and planted.key = spoiled.key
    and planted.kind = spoiled.kind and planted.is_found
left join repairs on repairs.source = spoiled.system and repairs.entity = spoiled.entity
    and repairs.key = spoiled.key and repairs.field = spoiled.field
union all
select
    planted.system, planted.entity, planted.key, planted.kind, '' as field, planted.before, planted.after,
    case when planted.is_merged then 'merged' end as repaired_to, planted.is_merged as is_right
from planted
join kinds on kinds.kind = planted.kind and kinds.is_merged
where planted.is_found and planted.label = 'repairable'
