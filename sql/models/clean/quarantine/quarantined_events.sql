-- One row per quarantined row of events, whole, with the rule and the reason.
{{ config(alias='events', unique_key=row_key('old'), meta={'recomputed_by': 'affected_keys', 'entity': 'events'}) }}
{{ quarantined('events') }}
