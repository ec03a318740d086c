{# Sessions of events: whose they are, what a visitor did, and which of them are recomputed. #}

{# Whose event it is: the visitor's, else the customer's, else nobody else's. #}
{% macro visitor_key(event, event_id='event_id') -%}
case
    when {{ event }}.visitor_id is not null then 'visitor ' || {{ event }}.visitor_id
    when {{ event }}.customer_id is not null then 'customer ' || {{ event }}.customer_id
    else 'event ' || {{ event }}.{{ event_id }}
end
{%- endmacro %}

{# What an event is, in the words of this project: the names that trackers give to the steps of a purchase; those that
   `models.events` gives go before. `other` are events that are understood, and of which no report speaks, `unclear` all
   that are not. #}
{% macro event_kind(event) -%}
{%- set name = _word(event ~ '.event_type') -%}
case
    {%- for kind in ['product_view', 'view', 'search', 'add_to_cart', 'removal', 'checkout', 'purchase', 'other'] %}
    {%- set words = _words_for('events', kind) %}
    {%- if words %}
    when {{ name }} in ({{ words }}) then '{{ kind }}'
    {%- endif %}
    {%- endfor %}
    when {{ name }} in (
        'product_view', 'product_viewed', 'view_product', 'viewed_product', 'view_item', 'view_content', 'product_detail',
        'product_detail_view', 'product_page_view', 'product_page_viewed', 'item_viewed'
    ) then 'product_view'
    when {{ name }} in ('view', 'page_view', 'pageview', 'page_viewed', 'page', 'viewed_page', 'screen_view')
        then case when {{ event }}.product_id is null then 'view' else 'product_view' end
    when {{ name }} in (
        'search', 'searched', 'site_search', 'view_search_results', 'search_submitted', 'products_searched', 'search_performed'
    ) then 'search'
    when {{ name }} in (
        'add_to_cart', 'added_to_cart', 'product_added', 'product_added_to_cart', 'cart_add', 'addtocart', 'add_to_basket',
        'added_to_basket', 'item_added_to_cart', 'add'
    ) then 'add_to_cart'
    when {{ name }} in (
        'remove_from_cart', 'removed_from_cart', 'product_removed', 'product_removed_from_cart', 'cart_remove', 'remove',
        'removefromcart', 'remove_from_basket', 'item_removed_from_cart'
    ) then 'removal'
    when {{ name }} in (
        'checkout', 'begin_checkout', 'checkout_started', 'start_checkout', 'started_checkout', 'initiate_checkout',
        'initiatecheckout', 'checkout_begin', 'checkout_step', 'checkout_step_viewed', 'checkout_step_completed',
        'checkout_progress', 'checkout_contact_info_submitted', 'checkout_address_info_submitted',
        'checkout_shipping_info_submitted', 'payment_info_submitted', 'payment_info_entered', 'add_shipping_info',
        'add_payment_info'
    ) then 'checkout'
    when {{ name }} in (
        'purchase', 'purchased', 'order_completed', 'completed_order', 'checkout_completed', 'checkout_complete', 'order_placed',
        'placed_order', 'order', 'transaction', 'buy', 'ecommerce_purchase', 'sale'
    ) then 'purchase'
    when {{ name }} in (
        'session_start', 'session_end', 'first_visit', 'user_engagement', 'scroll', 'click', 'clicked', 'file_download', 'login',
        'logout', 'sign_up', 'signup', 'sign_in', 'signed_up', 'signed_in', 'share', 'form_start', 'form_submit',
        'form_submitted', 'input_changed', 'input_focused', 'input_blurred', 'video_start', 'video_progress', 'video_complete',
        'view_item_list', 'product_list_viewed', 'product_list_filtered', 'product_clicked', 'collection_viewed', 'select_item',
        'view_promotion', 'select_promotion', 'promotion_viewed', 'promotion_clicked', 'view_cart', 'cart_viewed', 'cart_updated',
        'add_to_wishlist', 'remove_from_wishlist', 'product_added_to_wishlist', 'wishlist_add', 'generate_lead', 'refund',
        'order_refunded', 'order_cancelled', 'order_updated', 'coupon_entered', 'coupon_applied', 'coupon_denied', 'alert_displayed',
        'ui_extension_errored', 'identify', 'other'
    ) then 'other'
    else {{ label("'unclear'") }}
end
{%- endmacro %}
