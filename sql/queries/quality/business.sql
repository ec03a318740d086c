-- One row: what there is of business at all, and of how many orders a line or an amount is known.
select
    (select count(*) from warehouse.fact_orders) as orders,
    (select count(*) from warehouse.fact_orders where amount_basis <> 'none' or original_total_amount is not null) as valued_orders,
    (select count(*) from clean.events) as events
