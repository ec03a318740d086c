{{ config(severity='warn', meta={
    'dimension': 'validity', 'table': 'ops.rejected_files', 'field': 'reason',
    'says': 'files, messages and answers of the sources can be read (those that cannot are kept aside whole)',
    'tested': 'select coalesce(sum(files), 0) + (select count(*) from ops.rejected_files) from ops.batches'}) }}
select source, entity, name, reason, bytes, rejected_at
from {{ source('ops', 'rejected_files') }}
