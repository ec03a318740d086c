{# Sessions of events: whose they are, what a visitor did, and which of them are recomputed. #}

{# Whose event it is: the visitor's, else the customer's, else nobody else's. #}
{% macro visitor_key(event, event_id='event_id') -%}
case
    when {{ event }}.visitor_id is not null then 'visitor ' || {{ event }}.visitor_id
    when {{ event }}.customer_id is not null then 'customer ' || {{ event }}.customer_id
    else 'event ' || {{ event }}.{{ event_id }}
end
{%- endmacro %}

{# What an event is, in the words of this project: the names that trackers give to the steps of a purchase. #}
{% macro event_kind(event) -%}
{%- set name = "replace(replace(lower(" ~ event ~ ".event_type), ' ', '_'), '-', '_')" -%}
case
    when {{ name }} in ('product_view', 'product_viewed', 'view_product', 'view_item', 'product_detail') then 'product_view'
    when {{ name }} in ('view', 'page_view', 'pageview', 'page_viewed')
        then case when {{ event }}.product_id is null then 'view' else 'product_view' end
    when {{ name }} in ('search', 'searched', 'site_search', 'view_search_results') then 'search'
    when {{ name }} in ('add_to_cart', 'added_to_cart', 'product_added', 'cart_add') then 'add_to_cart'
    when {{ name }} in ('remove_from_cart', 'removed_from_cart', 'product_removed', 'cart_remove', 'remove') then 'removal'
    when {{ name }} in ('checkout', 'begin_checkout', 'checkout_started', 'start_checkout') then 'checkout'
    when {{ name }} in ('purchase', 'purchased', 'order_completed', 'transaction') then 'purchase'
    else 'other'
end
{%- endmacro %}
