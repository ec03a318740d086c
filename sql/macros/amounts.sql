{# The type of every amount that leaves a model. #}
{% macro amount(expression) %}cast({{ expression }} as decimal(18, 4)){% endmacro %}

{# The measures of fact_order_items, summed under the same names; the quantity above it is the net one. #}
{% macro summed_measures(quantity='quantity') %}
    {{ amount('sum(' ~ quantity ~ ')') }} as quantity
    {%- for measure in ['gross_amount', 'discount_amount', 'return_amount', 'net_amount', 'cost_amount', 'margin_amount'] %},
    {{ amount('sum(' ~ measure ~ ')') }} as {{ measure }}
    {%- endfor %}
{% endmacro %}

{# a / b as a share between 0 and 1, null where there is nothing to share. #}
{% macro share(part, whole) %}cast({{ part }} as double precision) / nullif(cast({{ whole }} as double precision), 0){% endmacro %}
