{# Amounts in the reporting currency: what is in another is converted at the last rate known on the day of its order. #}

{# The currency that an amount is in, which is the shop's where none is stated. #}
{% macro currency_of(stated) %}coalesce({{ stated }}, '{{ var("currency") }}'){% endmacro %}

{# The join to the rate of a currency on a day, under an alias. #}
{% macro join_rate(alias, currency, day) -%}
left join {{ ref('dim_exchange_rate') }} as {{ alias }}
    on {{ alias }}.currency = {{ currency }} and {{ alias }}.rate_date = {{ day }}
{%- endmacro %}

{# The rate of a currency by such a join: 1 for the shop's own, null where none is known. #}
{% macro exchange_rate(currency, alias) -%}
case when {{ currency }} = '{{ var("currency") }}' then cast(1 as decimal(18, 10)) else {{ alias }}.exchange_rate end
{%- endmacro %}

{# An amount at a rate; null where the rate is not known, or the result is beyond all measure. #}
{% macro converted(amount, rate) -%}
cast(
    case
        when {{ rate }} = 1 then {{ amount }}
        when abs(cast({{ amount }} as double precision)) * cast({{ rate }} as double precision) < 1e13
            then cast({{ amount }} as decimal(28, 4)) * {{ rate }}
    end as decimal(18, 4)
)
{%- endmacro %}
