{# A dimension that is known by its names alone: one row per value of a column, and one "unknown". #}
{% macro dimension_of_names(rows, column, key, name) -%}
select
    {{ column }} as {{ key }},
    {{ column }} as {{ name }},
    false as is_unknown
from {{ rows }}
where {{ column }} is not null and {{ column }} <> 'unknown'
group by {{ column }}
union all
select
    'unknown', 'unknown',
    true
{%- endmacro %}
