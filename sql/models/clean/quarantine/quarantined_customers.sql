-- One row per quarantined row of customers, whole, with the rule and the reason.
{{ config(alias='customers') }}
{{ quarantined('customers') }}
