{{ config(meta={'dimension': 'uniqueness', 'table': 'clean.order_items', 'description': 'no line number occurs twice in an order'}) }}
select order_id, line_number, count(*) as lines
from {{ ref('order_items') }}
group by order_id, line_number
having count(*) > 1
