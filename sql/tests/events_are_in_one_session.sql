{{ config(meta={'dimension': 'consistency', 'table': 'warehouse.fact_sessions', 'description': 'every event belongs to one session, and every session to one day'}) }}
with counts as (

    select
        'events' as what, (select count(*) from {{ ref('events') }}) as expected,
        (select coalesce(sum(event_count), 0) from {{ ref('fact_sessions') }}) as counted
    union all
    select
        'sessions', (select count(*) from {{ ref('fact_sessions') }}),
        (select coalesce(sum(sessions), 0) from {{ ref('daily_sessions') }})

)

select * from counts where expected <> counted
