{# What an order's lines and payments have to do with its total. #}

{# What an order's total leaves for its lines, discounts taken off: without shipping and, where prices are without tax,
   without tax. #}
{% macro goods_amount(orders) -%}
({{ orders }}.total_amount - coalesce({{ orders }}.shipping_amount, 0) - case when {{ var('prices_include_tax') }} then 0 else coalesce({{ orders }}.tax_amount, 0) end)
{%- endmacro %}

{# Whether an order's lines, those of `where`, come to its total: a condition over the grouped lines of one order, settled
   (`settled_lines`), beside its row of `totals`. With shipping and tax of the order and of its lines, tax being in the
   prices or not. #}
{% macro comes_to_total(lines, totals, shipping, tax, where='true') -%}
{%- set summed = "coalesce(sum(" ~ lines ~ ".{0}) filter (where " ~ where ~ "), 0)" -%}
{%- set goods = summed.format('amount') ~ " - greatest(coalesce(max(abs(" ~ totals ~ ".discount_amount)), 0), " ~ summed.format('settled_discount') ~ ")" -%}
{%- set shipped = "coalesce(max(" ~ totals ~ ".shipping_amount), 0) + " ~ summed.format(shipping) -%}
{%- set taxed = "coalesce(max(" ~ totals ~ ".tax_amount), 0) + " ~ summed.format(tax) -%}
coalesce(
    abs({{ goods }} + {{ shipped }} - max({{ totals }}.total_amount)) < 0.005
    or abs({{ goods }} + {{ shipped }} + {{ taxed }} - max({{ totals }}.total_amount)) < 0.005, false
)
{%- endmacro %}

{# An order's shipping, tax or discount over its lines, as `first` says; but their sum where the lines of one document
   differ, as then each states its own. What came back is not among them. #}
{% macro of_lines(lines, column, first) -%}
{%- set sold = "filter (where " ~ lines ~ ".is_accepted and not " ~ came_back(lines) ~ ")" -%}
{%- set value = lines ~ "." ~ column -%}
case
    when min({{ value }}) {{ sold }} < max({{ value }}) {{ sold }} and min({{ lines }}._source_file) {{ sold }} = max({{ lines }}._source_file) {{ sold }}
        then sum({{ value }}) {{ sold }}
    else {{ first }}
end
{%- endmacro %}

{# By how much an order's total differs from what its lines, less discounts, and shipping come to, in the reading that comes
   nearest: tax in the prices or on top, with what came back or without; null where it has no total or no lines. `total` is
   in the currency of the others. #}
{% macro unexplained_amount(orders, total) -%}
{%- set goods = orders ~ ".gross_amount - " ~ orders ~ ".discount_amount + coalesce(" ~ orders ~ ".shipping_amount, 0)" -%}
case when {{ orders }}.line_count > 0 then least(
    {%- for came_back in ["", " - " ~ orders ~ ".return_amount"] %}
    {%- for tax in ["", " + coalesce(" ~ orders ~ ".tax_amount, 0)"] %}
    abs({{ total }} - ({{ goods }}{{ came_back }}{{ tax }})){{ "," if not loop.last }}
    {%- endfor %}{{ "," if not loop.last }}
    {%- endfor %}
) end
{%- endmacro %}

{# Whether a payment of this status was made; all others failed, wait, or were paid back. #}
{% macro is_paid(status) -%}
{{ status }} in ('paid', 'completed', 'captured', 'settled', 'succeeded')
{%- endmacro %}
