{{ config(severity='warn', fail_calc='coalesce(sum(quarantined_rows), 0)', meta={
    'dimension': 'validity', 'table': 'quality.row_accounting', 'says': 'rows can be used as they were delivered (those that cannot wait in quarantine)',
    'tested': 'select sum(staged_rows) from quality.row_accounting'}) }}
select * from {{ ref('row_accounting') }}
where quarantined_rows > 0
