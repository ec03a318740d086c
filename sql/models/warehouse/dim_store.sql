-- One row per branch store that took an order, and one "unknown" for orders of no known store.
select
    store_id as store_key,
    store_id,
    false as is_unknown
from {{ ref('orders') }}
where store_id is not null and store_id <> 'unknown'
group by store_id
union all
select
    'unknown', 'unknown',
    true
