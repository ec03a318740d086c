{# The type of every amount that leaves a model. Where amounts are multiplied, one of them is cast to more digits before: a
   product of two numbers of 18 digits has 18 on DuckDB, with the decimal places of both, and a larger one is an error. #}
{% macro amount(expression) %}cast({{ expression }} as decimal(18, 4)){% endmacro %}

{# The measures of fact_order_items, summed under the same names; the quantity above it is the net one. #}
{% macro summed_measures(quantity='quantity') %}
    {{ amount('sum(' ~ quantity ~ ')') }} as quantity
    {%- for measure in ['gross_amount', 'discount_amount', 'return_amount', 'net_amount', 'cost_amount', 'margin_amount'] %},
    {{ amount('sum(' ~ measure ~ ')') }} as {{ measure }}
    {%- endfor %}
{% endmacro %}

{# Whether a staged line states nothing of what it is worth, and does not take its product's list price. #}
{% macro is_priceless(line, entity) -%}
({{ line }}.unit_price is null and {{ line }}.line_total is null and {{ line }}.line_amount is null
    {%- for source in var('list_price_sources').get(entity, []) %} and {{ line }}._source <> '{{ source }}'{% endfor %})
{%- endmacro %}

{# Whether a line that states no amount takes its product's list price. #}
{% macro has_list_price(line) -%}
(false
    {%- for entity, sources in var('list_price_sources').items() %}
    or ({{ line }}._entity = '{{ entity }}' and {{ line }}._source in ('{{ sources | join("', '") }}'))
    {%- endfor %})
{%- endmacro %}

{# The lines of a step, as they are delivered, with what they come to in columns of their own:

     settled_quantity      negative where the line states what came back (`is_return`), else as delivered
     settled_unit_price    as stated, else what the line's amount comes to for one unit; before discounts
     amount                the line before its discount, negative where it takes something back: `line_total`, else
                           `line_amount` with its discount, else quantity times price; null where nothing is stated
     settled_discount      of the amount's sign, whichever sign it is written with: amount - settled_discount is what the
                           line was charged; null where no discount is stated
     own_cost              what the line itself says that it cost, of the amount's sign; null where it does not

   An amount after the discount beside a price: what is missing to quantity times price is the discount, unless a rounded
   price explains it. #}
{% macro settled_lines(lines) -%}
select
    discounted.*,
    cast(case when is_back then -abs(quantity) else quantity end as decimal(18, 3)) as settled_quantity,
    {{ amount("case
        when unit_price is not null then case when is_back or quantity < 0 then abs(unit_price) else unit_price end
        when quantity <> 0 and size < 1000000000
            then " ~ portion('1', 'size', 'abs(quantity)') ~ " * case when direction < 0 and quantity > 0 and not is_back then -1 else 1 end
    end") }} as settled_unit_price,
    {{ amount('direction * size') }} as amount,
    {{ amount('direction * reduction') }} as settled_discount,
    {{ amount("case
        when cost_amount is not null then direction * abs(cost_amount)
        when unit_cost is not null then cast(abs(unit_cost) as decimal(28, 4)) * case when is_back then -abs(quantity) else quantity end
        when margin_amount is not null
            then direction * (size - coalesce(reduction, 0))
                - case when is_back and quantity > 0 and coalesce(line_total, line_amount, unit_price) > 0 then -margin_amount else margin_amount end
    end") }} as own_cost
from (
    select
        sized.*,
        case
            when line_amount is not null and size >= abs(line_amount) then size - abs(line_amount)
            when discount_amount is not null then abs(discount_amount)
            when abs(discount_rate) <= 1 then {{ amount('cast(size as decimal(28, 4)) * abs(discount_rate)') }}
        end as reduction
    from (
        select
            priced.*,
            case
                when line_total is not null then abs(line_total)
                when line_amount is null then priced_amount
                when discount_amount is not null then abs(line_amount) + abs(discount_amount)
                when abs(discount_rate) < 1 and abs(line_amount) < 1000000000
                    then {{ portion('1', 'abs(line_amount)', '(1 - abs(discount_rate))') }}
                when priced_amount > abs(line_amount) + 0.005 * (abs(quantity) + 1) then priced_amount
                else abs(line_amount)
            end as size
        from (
            select
                lines.*,
                coalesce(lines.is_return, false) as is_back,
                case
                    when lines.is_return or lines.quantity < 0
                        or coalesce(lines.line_total, lines.line_amount, lines.unit_price) < 0 then -1
                    else 1
                end as direction,
                {{ amount('abs(lines.quantity * lines.unit_price)') }} as priced_amount
            from {{ lines }} as lines
        ) as priced
    ) as sized
) as discounted
{%- endmacro %}

{# a / b as a share between 0 and 1, null where there is nothing to share. #}
{% macro share(part, whole) %}cast({{ part }} as double precision) / nullif(cast({{ whole }} as double precision), 0){% endmacro %}

{# part * amount / whole, exact and rounded half up to 1/10,000; none of the three is negative, and they have at most
   four decimals. One engine divides decimals as doubles, another to a scale of its own choosing: so whole numbers. #}
{% macro portion(part, amount, whole) %}{{ adapter.dispatch('portion', 'shop')(part, amount, whole) }}{% endmacro %}
{% macro duckdb__portion(part, amount, whole) -%}
cast(
    cast(
        (2 * {{ _ten_thousandths(part) }} * {{ _ten_thousandths(amount) }} + {{ _ten_thousandths(whole) }})
        // (2 * {{ _ten_thousandths(whole) }}) as decimal(30, 0)
    ) * 0.0001 as decimal(18, 4)
)
{%- endmacro %}
{% macro postgres__portion(part, amount, whole) -%}
cast(div(20000 * {{ part }} * {{ amount }} + {{ whole }}, 2 * {{ whole }}) * 0.0001 as decimal(18, 4))
{%- endmacro %}
{% macro _ten_thousandths(amount) %}cast(cast({{ amount }} as decimal(38, 4)) * 10000 as hugeint){% endmacro %}

{# Numbers as people write them: a quantity without decimals where it is whole, an amount with two, more where it has. #}
{% macro quantity_text(quantity) -%}
{{ label("case when " ~ quantity ~ " = cast(" ~ quantity ~ " as bigint) then cast(cast(" ~ quantity ~ " as bigint) as varchar) else cast(cast(" ~ quantity ~ " as decimal(18, 3)) as varchar) end") }}
{%- endmacro %}
{% macro amount_text(amount) -%}
{{ label("case when " ~ amount ~ " = cast(" ~ amount ~ " as decimal(18, 2)) then cast(cast(" ~ amount ~ " as decimal(18, 2)) as varchar) else cast(cast(" ~ amount ~ " as decimal(18, 4)) as varchar) end") }}
{%- endmacro %}
