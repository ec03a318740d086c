{# Every staged row that repeats another row of the same source. #}
{% test delivered_once(model) %}
select row_key, rule, reason, _source as source, _source_file as source_file, _source_row as source_row
from {{ model }}
where rule in ('exact_duplicate', 'repeated_event')
{% endtest %}
