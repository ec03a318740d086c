-- One row per quarantined row of orders, whole, with the rule and the reason.
{{ config(alias='orders', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'orders'}) }}
{{ quarantined('orders') }}
