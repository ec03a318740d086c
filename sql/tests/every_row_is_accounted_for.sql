{{ config(meta={'dimension': 'consistency', 'table': 'quality.row_accounting', 'says': 'every staged row is clean, merged or quarantined'}) }}
select * from {{ ref('row_accounting') }}
where unaccounted_rows <> 0
