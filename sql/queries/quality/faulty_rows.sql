-- One row per entity with staged rows: how many there are, in how many rules found a fault, and of how many others values
-- were only written in another form.
with staged as (

    select entity, sum(staged_rows) as staged_rows
    from quality.row_accounting
    group by entity

),

found as (

    select
        entity, source, source_file, source_row,
        max(case when outcome <> 'repaired' or rule in ('wrong_sign', 'zeroed', 'wrong_unit') then 1 else 0 end) as is_faulty
    from quality.record_findings
    group by entity, source, source_file, source_row

),

counted as (

    select entity, sum(is_faulty) as faulty_rows, count(*) - sum(is_faulty) as rewritten_rows
    from found
    group by entity

)

select
    staged.entity,
    cast(staged.staged_rows as bigint) as staged_rows,
    cast(coalesce(counted.faulty_rows, 0) as bigint) as faulty_rows,
    cast(coalesce(counted.rewritten_rows, 0) as bigint) as rewritten_rows
from staged
left join counted on counted.entity = staged.entity
order by staged.entity
