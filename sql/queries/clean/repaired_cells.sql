-- One row per repaired cell, at most a given number of each row rule, the shortest first.
with ranked as (

    select
        rule, _source as source, entity, key, field, before, after,
        row_number() over (partition by rule order by length(before), before, entity, key, field) as place
    from stage.row_findings
    where outcome = 'repaired'

)

select rule, source, entity, key, field, before, after
from ranked
where place <= ?
order by rule, place
