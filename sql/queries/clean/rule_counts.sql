-- One row per rule, outcome, source and entity: in how many cells or rows the rule found something, with one example. It
-- is the shortest with a value before and after, so that both fit into a line.
with ranked as (

    select
        rule, outcome, source, entity, field, key, before, after,
        count(*) over (partition by rule, outcome, source, entity) as found,
        row_number() over (
            partition by rule, outcome, source, entity
            order by case when before is null then 2 when after is null then 1 else 0 end, length(before), before, key, field
        ) as place
    from quality.record_findings

)

select rule, outcome, source, entity, found, field, key, before, after
from ranked
where place = 1
order by found desc nulls last, rule, outcome, source, entity
