{# Every staged row of an entity that waits in quarantine, with its rule and reason. #}
{% test all_clean(model) %}
select _rule as rule, _reason as reason, quarantined.*
from {{ model }} as quarantined
{% endtest %}
