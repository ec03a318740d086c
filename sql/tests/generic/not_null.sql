{# In place of dbt's own, which gives no more than the empty column: a reader wants to see which rows they are. #}
{% test not_null(model, column_name) %}
select *
from {{ model }}
where {{ column_name }} is null
{% endtest %}
