{# The type of every amount that leaves a model. #}
{% macro amount(expression) %}cast({{ expression }} as decimal(18, 4)){% endmacro %}

{# The measures of fact_order_items, summed under the same names. #}
{% macro summed_measures(prefix='') %}
    {%- for measure in ['net_quantity', 'gross_amount', 'discount_amount', 'return_amount', 'net_amount', 'cost_amount', 'margin_amount'] %}
    cast(sum({{ prefix }}{{ measure }}) as decimal(18, 4)) as {{ 'quantity' if measure == 'net_quantity' else measure }}{{ ',' if not loop.last }}
    {%- endfor %}
{% endmacro %}

{# a / b as a share between 0 and 1, null where there is nothing to share. #}
{% macro share(part, whole) %}cast({{ part }} as double precision) / nullif(cast({{ whole }} as double precision), 0){% endmacro %}
