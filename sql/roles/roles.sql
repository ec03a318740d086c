-- The roles, schemas and rights of a PostgreSQL warehouse. Holds no password; may be run again at any time.
--
-- `python run_pipeline.py init-db` runs it, docker compose runs it when it makes the database, and by hand it is:
--     psql "$WAREHOUSE_ADMIN_URL" -v ON_ERROR_STOP=1 -f sql/roles/roles.sql
-- The user who runs it is a superuser, or owns the database and has CREATEROLE. It is one block: all of it happens, or
-- nothing.
do $roles$
declare
    published constant text[] :=
        array['stage', 'clean', 'quarantine', 'warehouse', 'analytics', 'quality', 'ops'];
    -- The schemas of private copies, which are the loader's alone.
    private constant text := '^(run|checkpoint|draft)_[0-9a-f]+_(delta|' || array_to_string(published, '|') || ')$';
    admin constant name := current_user;
    this constant name := current_database();
    item record;
    role_name text;
    schema_name text;
begin
    if current_setting('server_version_num')::int < 170000 then
        raise feature_not_supported using message = format(
            'The server is PostgreSQL %s; the warehouse needs 17 or newer, which sorts text alike on every system '
            '(collation pg_c_utf8). Upgrade it, or start the one of docker-compose.yml.',
            split_part(current_setting('server_version'), ' ', 1));
    end if;
    if getdatabaseencoding() <> 'UTF8' then
        raise feature_not_supported using message = format(
            'Database %I is encoded in %s; the warehouse needs UTF8. Make another: '
            'create database shop encoding ''UTF8'' template template0', this, getdatabaseencoding());
    end if;
    -- One at a time in this database.
    perform pg_advisory_xact_lock(hashtext('shop warehouse roles'));
    perform set_config('client_min_messages', 'warning', true), set_config('lock_timeout', '1min', true);

    -- The two roles.
    foreach role_name in array array['shop_loader', 'shop_analyst'] loop
        if to_regrole(role_name) is null then
            begin
                execute format('create role %I login', role_name);
            exception when duplicate_object or unique_violation then
                null;  -- roles belong to the whole server: the set-up of another database was faster
            end;
        elsif not (select rolcanlogin from pg_roles where rolname = role_name) then
            execute format('alter role %I login', role_name);
        end if;
    end loop;
    if (select rolsuper from pg_roles where rolname = 'shop_analyst') then
        raise insufficient_privilege using message =
            'shop_analyst is a superuser, whom nothing keeps from writing: alter role shop_analyst nosuperuser';
    end if;
    -- With `set role shop_analyst` the loader sees what an analyst sees. Done again each time, as it locks the role on
    -- the whole server: set-ups of several databases go on from here one after another.
    grant shop_analyst to shop_loader with inherit false, set true;
    -- Who creates a role may grant it, but is not yet a member: needed to make, and to reach, what the loader owns.
    if not (pg_has_role(admin, 'shop_loader', 'set') and pg_has_role(admin, 'shop_loader', 'usage')) then
        execute format('grant shop_loader to %I with inherit true, set true', admin);
    end if;

    -- The database.
    execute format('revoke create, temporary on database %I from public, shop_analyst', this);
    execute format('grant connect, create, temporary on database %I to shop_loader', this);
    execute format('grant connect on database %I to shop_analyst', this);
    if to_regnamespace('public') is not null then
        revoke create on schema public from public, shop_analyst;
    end if;
    -- Who may not grant gets a mere warning for it.
    if not has_database_privilege('shop_loader', this, 'create') then
        raise insufficient_privilege using message = format('%I does not own database %I', admin, this);
    end if;

    -- Defaults of a session, in this database only; a session may change them for itself.
    foreach role_name in array array['shop_loader', 'shop_analyst'] loop
        execute format('alter role %I in database %I set timezone = ''UTC''', role_name, this);
    end loop;
    execute format('alter role shop_analyst in database %I set default_transaction_read_only = on', this);
    execute format('alter role shop_analyst in database %I set statement_timeout = ''15min''', this);
    -- A forgotten open transaction keeps old rows from being cleared away.
    execute format('alter role shop_analyst in database %I set idle_in_transaction_session_timeout = ''10min''', this);
    execute format('alter role shop_analyst in database %I set lock_timeout = ''1min''', this);

    -- The schemas, and whatever another user made in them before.
    foreach schema_name in array published loop
        if to_regnamespace(schema_name) is null then
            execute format('create schema %I authorization shop_loader', schema_name);
        end if;
    end loop;
    for item in
        with ours as (
            select oid, nspname, nspowner from pg_namespace where nspname = any (published) or nspname ~ private
        )
        select 1 as step, format('schema %I', nspname) as object, nspowner as owner
        from ours
        where nspowner <> 'shop_loader'::regrole
        union all
        select 2, format('table %s', class.oid::regclass), class.relowner  -- views and sequences too
        from ours
        join pg_class as class on class.relnamespace = ours.oid
        where class.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and class.relowner <> 'shop_loader'::regrole
            and not exists (  -- a column's own sequence follows its table
                select from pg_depend as depend
                where class.relkind = 'S' and depend.classid = 'pg_class'::regclass
                    and depend.objid = class.oid and depend.deptype in ('a', 'i')
            )
        union all
        select 3, format('routine %s', routine.oid::regprocedure), routine.proowner
        from ours
        join pg_proc as routine on routine.pronamespace = ours.oid
        where routine.proowner <> 'shop_loader'::regrole
        order by step, object
    loop
        begin
            execute format('alter %s owner to shop_loader', item.object);
        exception when insufficient_privilege then
            raise insufficient_privilege using message = format(
                '%s belongs to %s, and %I may not hand it over to shop_loader',
                item.object, item.owner::regrole, admin);
        end;
    end loop;

    -- Reading, now and for tables to come; granted by their owner, whose rights these are.
    set local role shop_loader;
    for item in select nspname from pg_namespace where nspname = any (published) or nspname ~ private loop
        execute format('revoke all on schema %I from public, shop_analyst', item.nspname);
        execute format('revoke all on all tables in schema %I from public, shop_analyst', item.nspname);
    end loop;
    foreach schema_name in array published loop
        execute format('grant usage on schema %I to shop_analyst', schema_name);
        execute format('grant select on all tables in schema %I to shop_analyst', schema_name);
        execute format('alter default privileges in schema %I grant select on tables to shop_analyst', schema_name);
    end loop;
    execute format('set local role %I', admin);
end
$roles$;
