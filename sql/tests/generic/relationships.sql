{# In place of dbt's own, which gives no more than the values: each row whose value is in no row of the other table. #}
{% test relationships(model, column_name, to, field) %}
select naming.*
from (select * from {{ model }} where {{ column_name }} is not null) as naming
left join {{ to }} as named on named.{{ field }} = naming.{{ column_name }}
where named.{{ field }} is null
{% endtest %}
