{{ config(severity='warn', meta={
    'dimension': 'completeness', 'table': 'quality.source_reconciliation',
    'says': 'what each source says it holds is staged, no more and no less'}) }}
select source, entity, measure, reported, gone, held, difference, reported_by
from {{ ref('source_reconciliation') }}
where difference <> 0
