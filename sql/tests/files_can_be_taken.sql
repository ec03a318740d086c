{{ config(severity='warn', meta={
    'dimension': 'validity', 'weight': 0.2, 'table': 'ops.rejected_files', 'field': 'reason',
    'description': 'the files, messages and responses of the sources can be read (what cannot is kept as it came)',
    'tested': 'select coalesce(sum(files), 0) + (select count(*) from ops.rejected_files) from ops.batches'}) }}
select source, entity, name, reason, bytes, rejected_at
from {{ source('ops', 'rejected_files') }}
