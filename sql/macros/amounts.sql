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

{# part * amount / whole, exact and rounded half up to 1/10,000; none of the three is negative, and they have at most
   four decimals. One engine divides decimals as doubles, another to a scale of its own choosing: so whole numbers. #}
{% macro portion(part, amount, whole) %}{{ adapter.dispatch('portion', 'shop')(part, amount, whole) }}{% endmacro %}
{% macro duckdb__portion(part, amount, whole) -%}
cast(
    cast(
        (2 * {{ _ten_thousandths(part) }} * {{ _ten_thousandths(amount) }} + {{ _ten_thousandths(whole) }})
        // (2 * {{ _ten_thousandths(whole) }}) as decimal(30, 0)
    ) * 0.0001 as decimal(18, 4)
)
{%- endmacro %}
{% macro postgres__portion(part, amount, whole) -%}
cast(div(20000 * {{ part }} * {{ amount }} + {{ whole }}, 2 * {{ whole }}) * 0.0001 as decimal(18, 4))
{%- endmacro %}
{% macro _ten_thousandths(amount) %}cast(cast({{ amount }} as decimal(38, 4)) * 10000 as hugeint){% endmacro %}

{# Numbers as people write them: a quantity without decimals where it is whole, an amount with two, more where it has. #}
{% macro quantity_text(quantity) -%}
{{ label("case when " ~ quantity ~ " = cast(" ~ quantity ~ " as bigint) then cast(cast(" ~ quantity ~ " as bigint) as varchar) else cast(cast(" ~ quantity ~ " as decimal(18, 3)) as varchar) end") }}
{%- endmacro %}
{% macro amount_text(amount) -%}
{{ label("case when " ~ amount ~ " = cast(" ~ amount ~ " as decimal(18, 2)) then cast(cast(" ~ amount ~ " as decimal(18, 2)) as varchar) else cast(cast(" ~ amount ~ " as decimal(18, 4)) as varchar) end") }}
{%- endmacro %}
