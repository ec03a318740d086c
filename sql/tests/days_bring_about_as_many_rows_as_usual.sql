{{ config(severity='warn', meta={
    'dimension': 'completeness', 'weight': 0.3, 'rule': 'unusual_volume', 'table': 'quality.daily_volume',
    'tested': 'select count(*) from quality.daily_volume where rows >= 30',
    'description': 'a day has about as many rows as similar days',
    'finds': {'entity': 'entity', 'source': 'source', 'key': 'cast(day as varchar)', 'family': 'cast(day as varchar)', 'field': 'volume', 'value': 'rows'}}) }}
select source, entity, day, cast(observed as bigint) as rows, expected, low, high, score
from {{ source('quality', 'anomalies') }}
where rule = 'unusual_volume'
