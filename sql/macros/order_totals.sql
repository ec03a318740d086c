{# What an order's lines and payments have to do with its total. #}

{# What an order's total leaves for its lines, discounts taken off: without shipping and, where prices are without tax,
   without tax. #}
{% macro goods_amount(orders) -%}
({{ orders }}.total_amount - coalesce({{ orders }}.shipping_amount, 0) - case when {{ var('prices_include_tax') }} then 0 else coalesce({{ orders }}.tax_amount, 0) end)
{%- endmacro %}

{# Whether a payment of this status was made; all others failed, wait, or were paid back. #}
{% macro is_paid(status) -%}
{{ status }} in ('paid', 'completed', 'captured', 'settled', 'succeeded')
{%- endmacro %}
