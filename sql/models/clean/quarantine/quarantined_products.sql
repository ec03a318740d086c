-- One row per quarantined row of products, whole, with the rule and the reason.
{{ config(alias='products') }}
{{ quarantined('products') }}
