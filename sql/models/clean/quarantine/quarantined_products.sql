-- One row per quarantined row of products, whole, with the rule and the reason.
{{ config(alias='products', pre_hook="{{ remove_touched(row_key('old'), ref('touched_keys'), 'key', 'products') }}") }}
{{ quarantined('products') }}
