-- One row per quarantined row of products, whole, with the rule and the reason.
{{ config(alias='products', pre_hook="{{ remove_affected(row_key('old'), ref('affected_keys'), 'key', 'products') }}") }}
{{ quarantined('products') }}
