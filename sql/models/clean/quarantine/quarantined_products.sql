-- One row per quarantined row of products, whole, with the rule and the reason.
{{ config(alias='products', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'products'}) }}
{{ quarantined('products') }}
