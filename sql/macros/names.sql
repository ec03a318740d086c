{# A run on PostgreSQL builds in schemas of its own, with a prefix such as `run_`; on DuckDB in a file of its own. #}
{% macro generate_schema_name(custom_schema_name, node) %}{{ env_var('SHOP_SCHEMA_PREFIX', '') }}{{ custom_schema_name or target.schema }}{% endmacro %}
