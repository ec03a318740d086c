{# Every version that does not begin where the one before ends, the first from the first moment and the last to the last. #}
{% test versions_are_seamless(model, id, column_name=none) %}
with neighbours as (

    select
        *,
        coalesce(lag(valid_to) over by_start, {{ first_moment() }}) as expected_from,
        lead(valid_from) over by_start is null as is_last
    from {{ model }}
    window by_start as (partition by {{ id }} order by valid_from, valid_to)

)

select *
from neighbours
where valid_from <> expected_from
    or valid_from >= valid_to
    or is_current <> is_last
    or is_last <> (valid_to = {{ last_moment() }})
{% endtest %}
