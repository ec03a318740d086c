-- One row per cell that a rule repaired, emptied or flagged, and per row that one merged, quarantined or refused, where
-- that says something against the row; those of checks are in quality.flags.
{%- set of_orders = ['order_items', 'payments', 'order_lines'] %}
{%- set entities = ['customers', 'products', 'orders', 'events'] + of_orders %}
with cells as (

    select
        rule, entity, key, coalesce(field, '') as field, outcome, before, after, _source, _source_file, _source_row
    from {{ source('stage', 'row_findings') }}
    where rule not in {{ no_faults() }}

),

dispositions as (

    {% for entity in entities %}
    select
        rule, {{ label("'" ~ entity ~ "'") }} as entity, row_key as key, disposition as outcome, _source, _source_file, _source_row
    from {{ ref('dispositions_' ~ entity) }}
    where rule in (
        'exact_duplicate', 'repeated_event', 'conflicting_duplicate', 'unknown_order', 'unknown_customer',
        'reused_order_number', 'missing_unit_price'
    )
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

found as (

    select * from cells
    union all
    select
        dispositions.rule, dispositions.entity, dispositions.key,
        case dispositions.rule
            when 'unknown_customer' then 'customer_id'
            when 'unknown_order' then 'order_id'
            when 'reused_order_number' then 'order_id'
            when 'missing_unit_price' then 'unit_price'
            else {{ label("''") }}
        end as field,
        dispositions.outcome, null as before, null as after, dispositions._source, dispositions._source_file, dispositions._source_row
    from dispositions

),

-- What a finding is about: the order of a line or payment, else the record itself.
of_family as (

    select found.*, found.key as family
    from found
    where entity not in ('{{ of_orders | join("', '") }}')
    {% for entity in of_orders %}
    union all
    select found.*, coalesce(staged.order_id, found.key) as family
    from found
    left join {{ source('stage', entity) }} as staged on {{ same_row('staged', 'found') }}
    where found.entity = '{{ entity }}'
    {% endfor %}

)

select
    rule, entity, _source as source, key, family, field, outcome, before, after,
    _source_file as source_file, _source_row as source_row
from of_family
union all
select
    rule, _entity, _source, key, order_id, field, {{ label("'repaired'") }}, before, after, _source_file, _source_row
from {{ ref('line_repairs') }}
