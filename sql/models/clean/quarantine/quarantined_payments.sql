-- One row per quarantined row of payments, whole, with the rule and the reason.
{{ config(alias='payments', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'payments'}) }}
{{ quarantined('payments') }}
