{{ config(severity='warn', meta={
    'dimension': 'consistency', 'weight': 0.2, 'rule': 'distribution_shift', 'table': 'analytics.monthly_sales',
    'description': 'the shares of payment methods, devices, categories and channels stay about the same from one year to the next',
    'tested': "select count(*) from (select distinct month from analytics.monthly_sales) as months"}) }}
select measure, day as month, score as stability_index, high as most_usual, observed as rows, expected as rows_before
from {{ source('quality', 'anomalies') }}
where rule = 'distribution_shift'
