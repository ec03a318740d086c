-- One row per planted defect that was not found, at most a given number of each kind.
select kind, label, system, entity, key, family, field, before, after
from planted
where not is_found and label <> 'debatable'
qualify row_number() over (partition by kind order by hash(key), entity, system) <= ?
order by kind, entity, key
