{# What engines do differently beside amounts and times. #}

{# A literal in a column of text that comes from literals alone: in code point order, as all other text is. #}
{% macro label(expression) %}{{ adapter.dispatch('label', 'shop')(expression) }}{% endmacro %}
{% macro default__label(expression) %}{{ expression }}{% endmacro %}
{% macro postgres__label(expression) %}({{ expression }} collate pg_c_utf8){% endmacro %}

{# `with name as {{ inlined() }} (`: a step that is read more than once, and is not to be stored in between: PostgreSQL
   then knows nothing of its values, DuckDB keeps columns that nobody reads. In an increment it is small, and stored. #}
{% macro inlined() %}{{ adapter.dispatch('inlined', 'shop')() }}{% endmacro %}
{% macro default__inlined() %}{{ '' if is_incremental() else 'not materialized' }}{% endmacro %}

{# Run after each model: the models that read it are planned by its statistics. #}
{% macro gather_statistics() %}{{ adapter.dispatch('gather_statistics', 'shop')() }}{% endmacro %}
{% macro default__gather_statistics() %}{% endmacro %}
{% macro postgres__gather_statistics() %}analyze {{ this }}{% endmacro %}

{# The number of a line by which it stands in its order, where its id is a whole number of up to nine characters. #}
{% macro own_line_number(line_id) %}{{ adapter.dispatch('own_line_number', 'shop')(line_id) }}{% endmacro %}
{% macro default__own_line_number(line_id) -%}
case when length({{ line_id }}) < 10 and cast(try_cast({{ line_id }} as integer) as varchar) = {{ line_id }} then try_cast({{ line_id }} as integer) end
{%- endmacro %}
{% macro postgres__own_line_number(line_id) -%}
case when length({{ line_id }}) < 10 and {{ line_id }} ~ '^(0|-?[1-9][0-9]*)$' then cast({{ line_id }} as integer) end
{%- endmacro %}

{# Whether a regular expression is found in a text, in whatever capitals. #}
{% macro matches(text, pattern) %}{{ adapter.dispatch('matches', 'shop')(text, "'" ~ pattern | replace("'", "''") ~ "'") }}{% endmacro %}
{% macro default__matches(text, literal) %}regexp_matches({{ text }}, {{ literal }}, 'i'){% endmacro %}
{% macro postgres__matches(text, literal) %}{{ text }} ~* {{ literal }}{% endmacro %}
