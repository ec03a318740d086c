{# Models that follow arrival: an increment takes out of a table what a change affects and adds it as it is now. What
   that is, and why it is all, is in docs/incremental.md. Each macro names its models outside of its conditions:
   dbt sees no reference inside them. #}

{# What identifies a staged row among the changed ones: its key, or its place where it has none. #}
{% macro row_key(staged) -%}
coalesce({{ staged }}._key, {{ staged }}._source || '#' || {{ staged }}._source_file || '#' || cast({{ staged }}._source_row as varchar))
{%- endmacro %}

{# The condition that a value is one of those that a column of a table holds. #}
{% macro is_in(value, table, column, entity=none) -%}
{{ value }} in (select {{ column }} from {{ table }}{% if entity %} where entity = '{{ entity }}'{% endif %})
{%- endmacro %}

{# A table's rows of the affected orders in an increment, else the table; `by` is affected_orders or affected_facts. #}
{% macro of_affected(table, by='affected_orders') -%}
{%- set orders = ref(by) -%}
{%- if is_incremental() -%}
(select * from {{ table }} where {{ is_in('order_id', orders, 'order_id') }})
{%- else -%}
{{ table }}
{%- endif -%}
{%- endmacro %}

{# The same by key: the staged rows of an entity, or their dispositions. #}
{% macro of_affected_keys(table, entity, key) -%}
{%- set keys = ref('affected_keys') -%}
{%- if is_incremental() -%}
(select * from {{ table }} as staged where {{ is_in(key, keys, 'key', entity) }})
{%- else -%}
{{ table }}
{%- endif -%}
{%- endmacro %}

{# Pre-hook of an incremental model: takes out of the table (`old`) what the increment adds anew. #}
{% macro remove_affected(value, table, column, entity=none) -%}
{%- if is_incremental() -%}
delete from {{ this }} as old where {{ is_in(value, table, column, entity) }}
{%- endif -%}
{%- endmacro %}

{# Closes a query of affected keys: where models are built whole, nothing asks for them. #}
{% macro unless_whole() -%}
{{ 'false' if should_full_refresh() else 'true' }}
{%- endmacro %}
