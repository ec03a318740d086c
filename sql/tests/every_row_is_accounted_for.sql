{{ config(meta={'dimension': 'consistency', 'table': 'quality.row_accounting', 'description': 'every staged row is clean, merged, quarantined or left out, and no more are staged than were read'}) }}
select * from {{ ref('row_accounting') }}
where unaccounted_rows <> 0 or replaced_rows < 0
