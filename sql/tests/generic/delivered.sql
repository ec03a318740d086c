{# Every row that names a customer, product or order of which no source has delivered anything. One that waits in
   quarantine is known: what is wrong with it is stated there. #}
{% test delivered(model, column_name, entity) %}
{%- set id = {'customers': 'customer_id', 'products': 'product_id', 'orders': 'order_id'}[entity] %}
select naming.*
from (select * from {{ model }} where {{ column_name }} is not null) as naming
where not exists (select 1 from {{ ref(entity) }} as clean where clean.{{ id }} = naming.{{ column_name }})
    and not exists (select 1 from {{ source('stage', entity) }} as staged where staged.{{ id }} = naming.{{ column_name }})
{% endtest %}
