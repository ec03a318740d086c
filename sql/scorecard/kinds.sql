-- One row per kind of defect: what was planted and found, what its rules flagged, what was repaired, each with its share.
with by_planted as (

    -- A kind that is debatable as a whole is shown, and counted nowhere else.
    select planted.kind, count(*) as planted, count(*) filter (where planted.is_found) as found
    from planted
    join kinds using (kind)
    where planted.label <> 'debatable' or kinds.label = 'debatable'
    group by planted.kind

),

by_finding as (

    select found_by.kind, count(*) as flagged, count(*) filter (where findings.is_right) as right_ones
    from findings
    join found_by using (rule)
    group by found_by.kind

),

by_correction as (

    select kind, count(*) as repaired, count(*) filter (where is_right) as repaired_right
    from corrections
    group by kind

)

select
    kinds.kind,
    kinds.label,
    kinds.description,
    coalesce(planted, 0) as planted,
    coalesce(found, 0) as found,
    found / nullif(planted, 0) as recall,
    coalesce(flagged, 0) as flagged,
    coalesce(right_ones, 0) as right,
    right_ones / nullif(flagged, 0) as precision,
    coalesce(repaired, 0) as repaired,
    coalesce(repaired_right, 0) as repaired_right,
    repaired_right / nullif(repaired, 0) as accuracy
from kinds
left join by_planted using (kind)
left join by_finding using (kind)
left join by_correction using (kind)
order by kinds.number
