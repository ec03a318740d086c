{# Models that follow arrival: in an increment they recompute the rows that a change affects, and no others. What is
   affected, and why that is all, is in docs/incremental.md. The macros name `by` outside of their conditions: dbt sees
   no reference inside them. #}

{# What identifies a staged row: its key, or its place where it has none. #}
{% macro row_key(staged) -%}
coalesce({{ staged }}._key, {{ staged }}._source || '#' || {{ staged }}._source_file || '#' || cast({{ staged }}._source_row as varchar))
{%- endmacro %}

{# The condition that a value is among the affected ones; `by` is the model that lists them. #}
{% macro is_affected(value, by, entity=none) -%}
{%- set column = {'affected_keys': 'key', 'affected_visitors': 'visitor_key'}.get(by, 'order_id') -%}
{{ value }} in (select {{ column }} from {{ ref(by) }}{% if entity %} where entity = '{{ entity }}'{% endif %})
{%- endmacro %}

{# In an increment: `where` the value is among the affected ones. Else nothing: all rows are read. #}
{% macro where_affected(value, by, entity=none) -%}
{%- set condition = is_affected(value, by, entity) -%}
{%- if is_incremental() %}where {{ condition }}{% endif -%}
{%- endmacro %}

{# The same beside other conditions. #}
{% macro and_affected(value, by, entity=none) -%}
{%- set condition = is_affected(value, by, entity) -%}
{%- if is_incremental() %}and {{ condition }}{% endif -%}
{%- endmacro %}

{# The incremental strategy `recompute`, for dbt: deletes affected rows from a table and inserts them as they are now. A model
   says by `unique_key` what identifies its rows, and in `meta` by which model (`recomputed_by`, `entity`). #}
{% macro get_incremental_recompute_sql(arguments) -%}
{%- set meta = model.config.meta -%}
delete from {{ arguments.target_relation }} as old
where {{ is_affected(arguments.unique_key, meta.recomputed_by, meta.entity) }};
{{ get_insert_into_sql(arguments.target_relation, arguments.temp_relation, arguments.dest_columns) }}
{%- endmacro %}
