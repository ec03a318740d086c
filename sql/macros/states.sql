{# What words of shops' systems mean. `models.statuses` and `models.events` say what words of one shop's mean, which
   goes before. #}

{# A status or event as it is compared: in lower case, blanks and dashes as underscores. #}
{% macro _word(text) -%}
replace(replace(lower(trim({{ text }})), ' ', '_'), '-', '_')
{%- endmacro %}

{# The words of a setting {their word: ours} that mean one of ours, as they are compared: literals for `in`, or nothing. #}
{% macro _words_for(setting, meaning) -%}
{%- set words = [] -%}
{%- for theirs, ours in var(setting).items() if ours == meaning -%}
{%- do words.append((theirs | string | trim | lower).replace(' ', '_').replace('-', '_').replace("'", "''")) -%}
{%- endfor -%}
{%- if words %}'{{ words | join("', '") }}'{% endif -%}
{%- endmacro %}

{# What the statuses that are staged mean, a row a status; there are few for many orders. #}
{% macro staged_states() -%}
select worded.status, {{ order_state('worded.status') }} as state
from (
    {% for entity in ['orders', 'order_lines'] %}
    select distinct status
    from {{ source('stage', entity) }}
    where status is not null
    {{ 'union' if not loop.last }}
    {% endfor %}
) as worded
{%- endmacro %}

{# `sale`, `pending`, `cancelled`, `returned`, `failed` or, where the word is known for neither, `unclear`; an order
   without a status is a sale. WooCommerce writes wc- before its own. #}
{% macro order_state(status) -%}
{%- set known = {
    'sale': [
        'paid', 'complete', 'completed', 'completed_successfully', 'done', 'finished', 'shipped', 'dispatched', 'sent',
        'partially_shipped', 'shipped_partially', 'partially_dispatched', 'in_transit', 'out_for_delivery', 'delivered',
        'partially_delivered', 'picked_up', 'collected', 'ready_for_pickup', 'ready_to_ship', 'ready_for_shipment', 'packed',
        'picking', 'awaiting_shipment', 'awaiting_fulfillment', 'awaiting_pickup', 'unshipped', 'shipping', 'handed_over',
        'fulfilled', 'unfulfilled', 'partial', 'partially_fulfilled', 'fulfillment_in_progress', 'processing', 'in_process',
        'in_progress', 'in_production', 'processed', 'confirmed', 'accepted', 'approved', 'pending_fulfillment', 'partially_voided', 'authorized', 'authorised', 'captured',
        'charged', 'cleared', 'settled', 'succeeded', 'success', 'successful', 'payment', 'payment_received', 'payment_accepted',
        'paid_out', 'partially_paid', 'partially_refunded', 'partial_refund', 'refunded_partially', 'partially_returned',
        'canceled_reversal', 'cancelled_reversal', 'sale', 'sold', 'order', 'open', 'new', 'placed', 'active', 'received',
        'bezahlt', 'abgeschlossen', 'erledigt', 'versendet', 'versandt', 'geliefert', 'zugestellt', 'in_bearbeitung', 'bestätigt',
        'payé', 'payée', 'expédié', 'expédiée', 'livré', 'livrée', 'terminé', 'terminée', 'pagado', 'enviado', 'entregado',
        'completado',
    ],
    'pending': [
        'pending', 'pending_payment', 'payment_pending', 'awaiting_payment', 'awaiting_check_payment', 'awaiting_bank_wire_payment',
        'waiting_for_payment', 'unpaid', 'not_paid', 'payment_processing', 'payment_review', 'payment_due', 'on_hold', 'onhold',
        'held', 'holded', 'hold', 'pending_availability', 'pending_review', 'pending_approval', 'pending_confirmation',
        'pending_paypal', 'unconfirmed', 'invoice_unconfirmed', 'unclaimed', 'uncleared', 'created', 'draft',
        'checkout_draft', 'checkout', 'incomplete', 'requires_payment_method', 'requires_confirmation', 'requires_action',
        'requires_capture', 'uncaptured', 'preorder', 'pre_order', 'pre_ordered', 'backorder', 'backordered', 'on_backorder',
        'offen', 'ausstehend', 'zahlung_ausstehend', 'unbezahlt', 'en_attente', 'pendiente',
    ],
    'cancelled': [
        'cancelled', 'canceled', 'cancel', 'cancellation', 'void', 'voided', 'cancelled_by_customer', 'canceled_by_customer',
        'cancelled_by_seller', 'canceled_by_seller', 'cancelled_by_buyer', 'canceled_by_buyer', 'customer_cancelled',
        'abandoned', 'trash', 'deleted', 'removed', 'expired', 'unfulfillable',
        'storniert', 'storno', 'abgebrochen', 'annulliert', 'annulé', 'annulée', 'cancelado', 'cancelada', 'anulado',
    ],
    'returned': [
        'returned', 'return', 'return_completed', 'return_received', 'refunded', 'refund', 'fully_refunded', 'full_refund',
        'refunded_in_full', 'charged_back', 'chargeback', 'charge_back', 'reversed', 'paypal_reversed', 'reversal', 'credited',
        'returned_to_seller', 'returned_to_sender', 'retoure', 'retourniert', 'zurückgesendet', 'erstattet', 'zurückerstattet',
        'gutgeschrieben', 'remboursé', 'remboursée', 'retourné', 'retournée', 'reembolsado', 'devuelto',
    ],
    'failed': [
        'failed', 'failure', 'payment_failed', 'payment_error', 'error', 'declined', 'payment_declined', 'denied', 'refused',
        'rejected', 'fehlgeschlagen', 'abgelehnt', 'échoué', 'échouée', 'fallido', 'fallida',
    ],
} -%}
{%- set word = _word(status) -%}
{%- set own_word = "case when substr(" ~ word ~ ", 1, 3) = 'wc_' then substr(" ~ word ~ ", 4) else " ~ word ~ " end" -%}
case
    when {{ status }} is null then 'sale'
    {%- for state in ['sale', 'pending', 'cancelled', 'returned', 'failed', 'unclear'] %}
    {%- set words = _words_for('statuses', state) %}
    {%- if words %}
    when {{ word }} in ({{ words }}) then '{{ state }}'
    {%- endif %}
    {%- endfor %}
    {%- for state, words in known.items() %}
    when {{ own_word }} in ('{{ words | join("', '") }}') then '{{ state }}'
    {%- endfor %}
    else {{ label("'unclear'") }}
end
{%- endmacro %}
