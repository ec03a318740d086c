{# Every row for which `where` holds satisfies `expression`; the failing rows are the test's result. #}
{% test holds(model, expression, where='true', column_name=none) %}
select *
from {{ model }}
where ({{ where }}) and not coalesce({{ expression }}, false)
{% endtest %}
