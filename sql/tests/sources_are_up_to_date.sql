{{ config(severity='warn', meta={
    'dimension': 'timeliness', 'weight': 0.3, 'rule': 'stale_source', 'table': 'quality.source_freshness',
    'description': 'each source has delivered as recently as usual',
    'finds': {'entity': "''", 'source': 'source', 'key': 'source', 'family': 'source', 'field': ''}}) }}
select source, day as last_day, observed as days_without_rows, expected as usual_days, high as most_usual_days
from {{ source('quality', 'anomalies') }}
where rule = 'stale_source'
