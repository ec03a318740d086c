-- One row per thing that decides whether models are to be built: which batches are staged and how, which files were
-- rejected, what sources report, whether there are any customers and products, which sources deliver orders without
-- lines (as in `sources_without_lines`), the exchange rates, what the sources file
-- says, and what the models were last built from.
select 'batch' as kind, entity as name, source, batch_id as value, rules || ' ' || cast(loaded_at as varchar) as detail
from ops.batches
union all
select 'rejected file', name, source, entity, reason || ' ' || cast(rejected_at as varchar)
from ops.rejected_files
union all
select 'total', entity, source, measure, reported_by || ' ' || cast(value as varchar)
from ops.source_totals
union all
select 'staged', 'customers', '', case when exists (select 1 from stage.customers) then 'some' else 'none' end, ''
union all
select 'staged', 'products', '', case when exists (select 1 from stage.products) then 'some' else 'none' end, ''
union all
select 'staged', 'orders without lines', source, '', ''
from (
    select source
    from ops.batches
    group by source
    having sum(case when entity = 'orders' then rows else 0 end) > 0
        and sum(case when entity in ('order_items', 'order_lines') then rows else 0 end) = 0
) as batches
where not exists (
    select 1
    from stage.orders as orders
    inner join (
        select order_id
        from stage.order_items
        where _reject_rule is null and quantity > 0 and not coalesce(is_return, false)
        union all
        select order_id
        from stage.order_lines
        where _reject_rule is null and quantity > 0 and not coalesce(is_return, false)
    ) as sold on sold.order_id = orders.order_id
    where orders._source = batches.source
)
union all
select 'staged', entity, source, kind, equal_lines
from ops.mappings
union all
select 'staged', 'exchange rates', '', coalesce(md5(string_agg(
    currency || ' ' || cast(rate_date as varchar) || ' ' || cast(rate as varchar), ',' order by currency, rate_date
)), 'none'), ''
from ops.exchange_rates
union all
select 'model', folder, '', fingerprint, inputs
from ops.models
