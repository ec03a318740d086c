-- One row per quarantined row of payments, whole, with the rule and the reason.
{{ config(alias='payments') }}
{{ quarantined('payments') }}
