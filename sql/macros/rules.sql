{# Rules by name, from lib.clean.rules. #}

{# Rules of rows and of sets that say nothing against the row itself. #}
{% macro no_faults() -%}
(
    'delivered_again', 'in_another_source', 'older_version', 'restated', 'order_in_quarantine', 'left_out', 'repeated_header', 'totals_row'
)
{%- endmacro %}
