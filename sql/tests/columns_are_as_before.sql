{{ config(severity='warn', meta={
    'dimension': 'consistency', 'weight': 0.3, 'table': 'ops.schema_changes', 'field': 'column_name',
    'description': 'the latest deliveries have the same columns as those before',
    'tested': 'select count(*) from (select distinct source, entity from ops.batches) as delivered'}) }}
with newest as (

    select max(ingested_at) as ingested_at
    from {{ source('ops', 'batches') }}

),

runs as (

    select distinct batches.ingested_by
    from {{ source('ops', 'batches') }} as batches
    inner join newest on newest.ingested_at = batches.ingested_at

)

select changes.source, changes.entity, changes.column_name, changes.change, changes.ingested_at
from {{ source('ops', 'schema_changes') }} as changes
inner join runs on runs.ingested_by = changes.ingested_by
