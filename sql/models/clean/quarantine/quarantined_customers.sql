-- One row per quarantined row of customers, whole, with the rule and the reason.
{{ config(alias='customers', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'customers'}) }}
{{ quarantined('customers') }}
