-- One row per finding of a rule or a check. A row that states no key is known by its place in its file.
select
    rule, source, entity, coalesce(key, source_file || '#' || cast(source_row as varchar)) as key, family, field,
    outcome, before, after
from quality.record_findings
union all
select rule, source, entity, key, family, field, 'flagged' as outcome, value as before, null as after
from quality.flags
