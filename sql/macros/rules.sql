{# Rules by name, from lib.clean.rules. #}

{# Rules of rows and of sets that say nothing against the row itself. #}
{% macro no_faults() -%}
('delivered_again', 'in_another_source', 'older_version', 'order_in_quarantine')
{%- endmacro %}
