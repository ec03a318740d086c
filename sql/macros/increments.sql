{# Models that follow arrival: an increment takes out of a table what was touched and adds it as it is now. What is
   touched, and why that is all, is in docs/incremental.md. Each macro names its models outside of its conditions:
   dbt sees no reference inside them. #}

{# What identifies a staged row among the touched ones: its key, or its place where it has none. #}
{% macro row_key(staged) -%}
coalesce({{ staged }}._key, {{ staged }}._source || '#' || {{ staged }}._source_file || '#' || cast({{ staged }}._source_row as varchar))
{%- endmacro %}

{# The condition that a value is one of those that a column of a table holds. #}
{% macro is_in(value, table, column, entity=none) -%}
{{ value }} in (select {{ column }} from {{ table }}{% if entity %} where entity = '{{ entity }}'{% endif %})
{%- endmacro %}

{# A table's rows of the touched orders in an increment, else the table. `touched` is touched_orders or touched_sales. #}
{% macro of_touched(table, touched='touched_orders') -%}
{%- set orders = ref(touched) -%}
{%- if is_incremental() -%}
(select * from {{ table }} where {{ is_in('order_id', orders, 'order_id') }})
{%- else -%}
{{ table }}
{%- endif -%}
{%- endmacro %}

{# The same by key: the staged rows of an entity, or their fates. #}
{% macro of_touched_keys(table, entity, key) -%}
{%- set keys = ref('touched_keys') -%}
{%- if is_incremental() -%}
(select * from {{ table }} as staged where {{ is_in(key, keys, 'key', entity) }})
{%- else -%}
{{ table }}
{%- endif -%}
{%- endmacro %}

{# Pre-hook of an incremental model: takes out of the table (`old`) what the increment adds anew. #}
{% macro remove_touched(value, table, column, entity=none) -%}
{%- if is_incremental() -%}
delete from {{ this }} as old where {{ is_in(value, table, column, entity) }}
{%- endif -%}
{%- endmacro %}

{# Closes a query of touched keys: where models are built whole, nothing asks for them. #}
{% macro unless_whole() -%}
{{ 'false' if should_full_refresh() else 'true' }}
{%- endmacro %}
