-- One row per spoiled cell that was found and does not hold its value before, at most a given number of each kind.
select kind, system, entity, key, field, before, after, repaired_to
from corrections
where not is_right
qualify row_number() over (partition by kind order by hash(key), entity, system) <= ?
order by kind, entity, key
