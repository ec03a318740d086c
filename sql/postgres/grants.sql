-- One row per right that the analyst lacks to read what is published, as the statement that grants it; none where there
-- is no such role. Only what is ours to grant: somebody else may have a table there too.
with published as (
    select namespaces.oid, namespaces.nspname, namespaces.nspowner, roles.oid as analyst
    from pg_namespace as namespaces
    inner join pg_roles as roles on roles.rolname = 'shop_analyst'
    where namespaces.nspname in ('stage', 'clean', 'quarantine', 'warehouse', 'analytics', 'quality', 'ops')
)

select format('grant usage on schema %I to shop_analyst', nspname)
from published
where pg_has_role(nspowner, 'usage') and not has_schema_privilege(analyst, oid, 'usage')
union all
select format('grant select on %s to shop_analyst', tables.oid::regclass)
from published
inner join pg_class as tables on tables.relnamespace = published.oid
where tables.relkind = 'r' and pg_has_role(tables.relowner, 'usage')
    and not has_table_privilege(published.analyst, tables.oid, 'select')
