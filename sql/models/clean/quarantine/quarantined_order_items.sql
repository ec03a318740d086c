-- One row per quarantined row of order_items, whole, with the rule and the reason.
{{ config(alias='order_items', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'order_items'}) }}
{{ quarantined('order_items') }}
