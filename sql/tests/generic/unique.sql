{# In place of dbt's own: each value that occurs more than once, under its own name. #}
{% test unique(model, column_name) %}
select {{ column_name }}, count(*) as times
from {{ model }}
where {{ column_name }} is not null
group by {{ column_name }}
having count(*) > 1
{% endtest %}
