-- One row per planted defect, a record and a kind: found where a rule of its kind has a finding on the record or on another
-- one of its family.
with defects as (

    select
        system, entity, key, kind, entity_group, any_value(family) as family, min(field) as field,
        min(before) as before, min(after) as after,
        coalesce(min(label) filter (where label <> 'debatable'), 'debatable') as label
    from cells
    group by system, entity, key, kind, entity_group

),

by_kind as (select found_by.kind, findings.* from findings join found_by using (rule)),

found_records as (
    select kind, source, entity, key, bool_or(is_merged) as is_merged from by_kind group by kind, source, entity, key
),

found_families as (select distinct kind, entity_group, family from by_kind where family is not null)

select
    defects.*, found_records.kind is not null or found_families.kind is not null as is_found,
    coalesce(found_records.is_merged, false) as is_merged
from defects
left join found_records on found_records.kind = defects.kind and found_records.source = defects.system
    and found_records.entity = defects.entity and found_records.key = defects.key
left join found_families on found_families.kind = defects.kind
    and found_families.entity_group = defects.entity_group and found_families.family = defects.family
