-- One row per quarantined row of order_lines, whole, with the rule and the reason.
{{ config(alias='order_lines', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'order_lines'}) }}
{{ quarantined('order_lines') }}
