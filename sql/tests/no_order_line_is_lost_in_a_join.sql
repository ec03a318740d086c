{{ config(meta={'dimension': 'consistency', 'table': 'warehouse.fact_order_items', 'description': 'every clean order, order line and payment is in its fact table'}) }}
with counts as (

    select 'order_items' as entity, (select count(*) from {{ ref('order_items') }}) as clean_rows, (select count(*) from {{ ref('fact_order_items') }} where amount_basis not in ('order total', 'payments')) as fact_rows
    union all
    select 'orders', (select count(*) from {{ ref('orders') }}), (select count(*) from {{ ref('fact_orders') }})
    union all
    select 'payments', (select count(*) from {{ ref('payments') }}), (select count(*) from {{ ref('fact_payments') }})

)

select * from counts where clean_rows <> fact_rows
