{# UTC timestamp -> timestamp on the shop's clock. #}
{% macro local_time(timestamp) %}({{ timestamp }} at time zone 'UTC' at time zone '{{ var("time_zone") }}'){% endmacro %}

{# Monday = 1 ... Sunday = 7. #}
{% macro weekday(date) %}cast(extract(isodow from {{ date }}) as integer){% endmacro %}

{# First day of the month, as a date. #}
{% macro month_of(date) %}cast(date_trunc('month', {{ date }}) as date){% endmacro %}

{# Whole days between two dates. #}
{% macro days_between(first, last) %}(cast({{ last }} as date) - cast({{ first }} as date)){% endmacro %}

{# The present time as a UTC timestamp, for tests alone: what a model holds does not depend on when it is built. #}
{% macro utc_now() %}{{ adapter.dispatch('utc_now', 'shop')() }}{% endmacro %}
{% macro default__utc_now() %}(current_timestamp at time zone 'UTC'){% endmacro %}
