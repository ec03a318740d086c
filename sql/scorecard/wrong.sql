-- One row per finding on what was not planted, at most a given number of each rule.
select rule, source, entity, key, family, field, before, after
from findings
where not is_right
qualify row_number() over (partition by rule order by hash(key), entity, source) <= ?
order by rule, entity, key
