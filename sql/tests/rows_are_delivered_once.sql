{{ config(severity='warn', fail_calc='coalesce(sum(exact_duplicates), 0)', meta={
    'dimension': 'uniqueness', 'table': 'quality.row_accounting', 'says': 'no row is delivered twice (duplicates are merged)',
    'tested': 'select sum(staged_rows) from quality.row_accounting'}) }}
select * from {{ ref('row_accounting') }}
where exact_duplicates > 0
