-- One row per cell that a rule repaired or emptied, with its value before and after.
select
    entity, _source as source, key, field, rule, before, after, _source_file as source_file, _source_row as source_row
from {{ source('stage', 'row_findings') }}
where outcome in ('repaired', 'emptied')
union all
select _entity, _source, key, field, rule, before, after, _source_file, _source_row
from {{ ref('line_repairs') }}
