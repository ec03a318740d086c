{{ config(severity='warn', meta={
    'dimension': 'completeness', 'table': 'quality.source_reconciliation',
    'description': 'what is staged agrees with the totals that the sources report'}) }}
select source, entity, measure, reported, gone, held, difference, reported_by
from {{ ref('source_reconciliation') }}
where difference <> 0
