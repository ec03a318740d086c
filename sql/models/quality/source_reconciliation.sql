-- One row per source, entity and measure: what the source reported at the last ingest that it holds, and what is staged of it.
--
--   rows      rows of the documents read, as each reported when it was read, against staged rows
--   records   rows of a table or records of an API, each with a key of its own, against the keys staged
--   amount    the sum of a table's order totals, against that of each order as last staged
--   messages  messages in a mailbox, against those staged or rejected
--
-- `gone` is what was read before and the source no longer has: it stays as last seen.
{%- set entities = ['customers', 'products', 'orders', 'order_items', 'payments', 'events', 'order_lines'] %}
with reported as (

    select source, entity, measure, value, reported_by
    from {{ source('ops', 'source_totals') }}
    where measure <> 'gone'

),

gone as (

    select source, entity, value
    from {{ source('ops', 'source_totals') }}
    where measure = 'gone'

),

with_records as (

    select source, entity from reported where measure = 'records'

),

staged_keys as (

    {% for entity in entities %}
    select distinct staged._source as source, {{ label("'" ~ entity ~ "'") }} as entity, {{ row_key('staged') }} as key
    from {{ source('stage', entity) }} as staged
    where staged._source in (select source from with_records where entity = '{{ entity }}')
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

orders as (

    select
        staged._source as source, staged.total_amount,
        row_number() over (
            partition by staged._source, {{ row_key('staged') }}
            order by staged._source_file desc nulls last, staged._source_row desc nulls last
        ) as newest
    from {{ source('stage', 'orders') }} as staged
    where staged._source in (select source from reported where measure = 'amount')

),

documents as (

    select distinct _source as source, _source_file as name
    from {{ source('stage', 'order_lines') }}
    where _source in (select source from reported where measure = 'messages')
    union
    select source, name
    from {{ source('ops', 'rejected_files') }}
    where source in (select source from reported where measure = 'messages')

),

held as (

    {% for entity in entities %}
    select
        _source as source, {{ label("'" ~ entity ~ "'") }} as entity, {{ label("'rows'") }} as measure,
        cast(count(*) as double precision) as value
    from {{ source('stage', entity) }}
    group by _source
    union all
    {% endfor %}
    select source, entity, {{ label("'records'") }} as measure, cast(count(*) as double precision) as value
    from staged_keys
    group by source, entity
    union all
    select
        source, {{ label("'orders'") }} as entity, {{ label("'amount'") }} as measure,
        cast(coalesce(sum(total_amount), 0) as double precision) as value
    from orders
    where newest = 1
    group by source
    union all
    select
        source, {{ label("'order_lines'") }} as entity, {{ label("'messages'") }} as measure,
        cast(count(*) as double precision) as value
    from documents
    group by source

),

compared as (

    select
        reported.source, reported.entity, reported.measure, reported.value as reported,
        case when reported.measure in ('records', 'messages') then coalesce(gone.value, 0) else 0 end as gone,
        coalesce(held.value, 0) as held,
        -- What the orders that are gone came to is not reported.
        reported.measure = 'amount' and coalesce(gone.value, 0) > 0 as is_open,
        reported.reported_by
    from reported
    left join held on held.source = reported.source and held.entity = reported.entity and held.measure = reported.measure
    left join gone on gone.source = reported.source and gone.entity = reported.entity

)

select
    source, entity, measure, reported, gone, held,
    case when not is_open then cast({{ amount('held - reported - gone') }} as double precision) end as difference,
    reported_by
from compared
