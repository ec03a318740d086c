-- One row per finding, a record and a rule: the ledger names its record, or another one of its family, where it is right.
with found as (

    select
        reported.rule, any_value(faults.class) as class, coalesce(reported.source, '') as source,
        coalesce(reported.entity, '') as entity, coalesce(reported.key, '') as key,
        coalesce(any_value(families.entity_group), '') as entity_group,
        any_value(reported.family) as family, any_value(reported.field) as field,
        any_value(reported.before) as before, any_value(reported.after) as after,
        bool_or(reported.outcome = 'merged') as is_merged
    from reported
    join faults using (rule)
    left join families on families.entity = reported.entity
    group by reported.rule, coalesce(reported.source, ''), coalesce(reported.entity, ''), coalesce(reported.key, '')

),

spoiled_records as (select distinct system, entity, key from cells),

spoiled_families as (select distinct entity_group, family from cells where family is not null)

select found.*, spoiled_records.key is not null or spoiled_families.family is not null as is_right
from found
left join spoiled_records on spoiled_records.system = found.source and spoiled_records.entity = found.entity
    and spoiled_records.key = found.key
left join spoiled_families on spoiled_families.entity_group = found.entity_group
    and spoiled_families.family = found.family
