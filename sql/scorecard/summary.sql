-- One row: the measures over all kinds.
with planted as (

    select
        count(*) filter (where label in ('repairable', 'rejectable')) as planted,
        count(*) filter (where is_found and label in ('repairable', 'rejectable')) as found,
        avg(is_found::int) filter (where label in ('repairable', 'rejectable')) as recall,
        avg(is_found::int) filter (where label = 'repairable') as recall_repairable,
        avg(is_found::int) filter (where label = 'rejectable') as recall_rejectable,
        count(*) filter (where label = 'anomaly') as anomalies,
        avg(is_found::int) filter (where label = 'anomaly') as anomaly_recall,
        count(*) filter (where label = 'debatable') as debatable
    from planted

),

findings as (

    select
        count(*) filter (where class = 'scored') as findings,
        avg(is_right::int) filter (where class = 'scored') as precision,
        count(*) filter (where class = 'anomaly') as anomaly_findings,
        avg(is_right::int) filter (where class = 'anomaly') as anomaly_precision,
        count(*) filter (where class = 'other') as other_findings
    from findings

),

corrections as (select avg(is_right::int) as repair_accuracy from corrections)

select * from planted, findings, corrections
