-- One row per source, entity and measure: what the source said at its last take that it holds, and what is staged of it.
--
--   rows      rows of the documents taken, as each told when it was taken, against staged rows
--   records   rows of a table or records of an API, each with a key of its own, against the keys staged
--   amount    the sum of a table's order totals, against that of each order as last staged
--   messages  messages in a mailbox, against those staged or rejected
--
-- `gone` is what was taken before and the source no longer has: it stays as last seen.
{%- set entities = ['customers', 'products', 'orders', 'order_items', 'payments', 'events', 'order_lines'] %}
with told as (

    select source, entity, measure, value, told_by, told_at
    from {{ source('ops', 'source_totals') }}
    where measure <> 'gone'

),

gone as (

    select source, entity, value
    from {{ source('ops', 'source_totals') }}
    where measure = 'gone'

),

with_records as (

    select source, entity from told where measure = 'records'

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
    where staged._source in (select source from told where measure = 'amount')

),

documents as (

    select distinct _source as source, _source_file as name
    from {{ source('stage', 'order_lines') }}
    where _source in (select source from told where measure = 'messages')
    union
    select source, name
    from {{ source('ops', 'rejected_files') }}
    where source in (select source from told where measure = 'messages')

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
        told.source, told.entity, told.measure, told.value as told,
        case when told.measure in ('records', 'messages') then coalesce(gone.value, 0) else 0 end as gone,
        coalesce(held.value, 0) as held,
        -- What the orders that are gone came to is not told.
        told.measure = 'amount' and coalesce(gone.value, 0) > 0 as is_open,
        told.told_by, told.told_at
    from told
    left join held on held.source = told.source and held.entity = told.entity and held.measure = told.measure
    left join gone on gone.source = told.source and gone.entity = told.entity

)

select
    source, entity, measure, told, gone, held,
    case when not is_open then cast({{ amount('held - told - gone') }} as double precision) end as difference,
    told_by, told_at
from compared
