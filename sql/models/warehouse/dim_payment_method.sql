-- One row per payment method, and one "unknown".
{{ dimension_of_names(ref('payments'), column='method', key='payment_method_key', name='payment_method') }}
