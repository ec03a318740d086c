{# What is sold but is no product: told by its id or name, where that says nothing else. #}

{# `product`, or what else it is: shipping, fee, gift_card, adjustment, or other where `models.non_products` names it.
   Known are whole names, and patterns of `like`; in lower case, a dash or underscore is a blank. A word that could be
   part of a product's name is no pattern: a gift card holder is a product. #}
{% macro product_type(product_id, name) -%}
{%- set non_products = {
    'shipping': {
        'names': [
            'postage', 'carriage', 'next day carriage', 'shipping', 'shipping & handling', 'shipping and handling',
            'shipping cost', 'shipping costs', 'shipping charge', 'shipping charges', 'standard shipping', 'express shipping',
            'free shipping', 'delivery', 'delivery cost', 'delivery costs', 'delivery charge', 'standard delivery',
            'express delivery', 'freight', 'freight costs', 'p&p', 'postage & packing', 'postage and packing', 'versand',
            'versandkosten', 'lieferkosten', 'frachtkosten', 'porto', 'livraison', 'frais de port', 'frais de livraison',
            'verzendkosten', 'spedizione', 'spese di spedizione', 'envío', 'gastos de envío', 'frete',
        ],
        'patterns': ['% postage', 'shipping fee%', 'delivery fee%'],
    },
    'gift_card': {
        'names': [
            'giftcard', 'gutschein', 'geschenkkarte', 'carte cadeau', 'tarjeta regalo', 'carta regalo', 'cadeaubon', 'store credit',
        ],
        'patterns': [
            '%gift card', 'gift card (%', 'gift card:%', 'gift card  %', 'gift card $%', 'gift card €%', 'gift card £%',
            'gift card 1%', 'gift card 2%', 'gift card 5%', 'gift card 7%', '%gift voucher%', '%gift certificate%',
            '%geschenkgutschein%',
        ],
    },
    'fee': {
        'names': [
            'fee', 'fees', 'amazonfee', 'bank charge', 'bank charges', 'handling', 'service charge', 'surcharge', 'commission',
            'cruk commission', 'cash on delivery', 'tip', 'tips', 'gratuity', 'insurance', 'shipping insurance',
            'shipping protection', 'nachnahme', 'nachnahmegebühr', 'gebühr', 'bearbeitungsgebühr', 'trinkgeld',
        ],
        'patterns': ['% fee', '% fees'],
    },
    'adjustment': {
        'names': [
            'manual', 'adjustment', 'price adjustment', 'adjust bad debt', 'bad debt', 'discount', 'rounding', 'correction',
            'refund', 'credit', 'write off', 'sample', 'samples', 'test', 'test product', 'rabatt', 'korrektur', 'gutschrift',
            'rundung', 'muster',
        ],
        'patterns': [],
    },
} -%}
{%- set id = "replace(replace(lower(" ~ product_id ~ "), '_', ' '), '-', ' ')" -%}
{%- set text = "replace(replace(lower(" ~ name ~ "), '_', ' '), '-', ' ')" -%}
case
    {%- for pattern in var('non_products') %}
    when {{ matches(product_id, pattern) }} or {{ matches(name, pattern) }} then 'other'
    {%- endfor %}
    {%- for type, known in non_products.items() %}
    {%- set names = "('" ~ known.names | join("', '") ~ "')" %}
    when {{ id }} in {{ names }} or {{ text }} in {{ names }}
        {%- for pattern in known.patterns %} or {{ text }} like '{{ pattern }}'{% endfor %} then '{{ type }}'
    {%- endfor %}
    else {{ label("'product'") }}
end
{%- endmacro %}
