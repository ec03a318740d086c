"""Roles of the PostgreSQL warehouse: what init-db sets up, what loader and analyst may do, and its messages."""

import base64
import hashlib
import hmac
import os
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from psycopg2 import errors, sql
from psycopg2.extensions import make_dsn
from sqlalchemy.engine import make_url

from lib.base.errors import ConfigError, WarehouseError
from lib.base.postgres import connection_arguments as parsed
from lib.warehouse import SCHEMAS
from lib.warehouse.roles import admin_url, init_db, role_passwords
from tests.conftest import PROJECT
from tests.postgres import connect, create_database, start_server

#: The same in every test process: roles belong to the whole server, which some of them may share.
PASSWORDS = {"shop_loader": "loader-of-the-tests", "shop_analyst": "analyst-of-the-tests"}


def as_role(url: str, role: str, password: str = "", **changes: str) -> str:
    """Return the URL's parts, for another user."""
    changed = {"user": role, "password": password or PASSWORDS.get(role, ""), **changes}
    return make_dsn(**{**parsed(url, "url"), **changed})


def run(where: str, *statements: str | sql.Composable) -> list[tuple]:
    """Run statements, each a transaction of its own, and return the last one's rows."""
    connection = connect(where)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def rights(url: str) -> list[tuple]:
    """Return all that init-db decides in a database: owners, rights, defaults, settings."""
    return run(
        url,
        """
        select 'schema', nspname, nspowner::regrole::text || nspacl::text from pg_namespace
        where nspname not like 'pg\\_toast%' and nspname not like 'pg\\_temp%'
        union all select 'database', datname, datacl::text from pg_database where datname = current_database()
        union all select 'default', defaclnamespace::regnamespace::text, defaclacl::text from pg_default_acl
        union all select 'settings', setrole::regrole::text, setconfig::text from pg_db_role_setting
        where setdatabase = (select oid from pg_database where datname = current_database())
        union all select 'member', roleid::regrole::text || member::regrole, set_option::text from pg_auth_members
        order by 1, 2, 3
        """,
    )


@pytest.fixture(scope="module")
def database(new_database):
    """Return the URL, as its administrator, of a database that init-db has set up."""
    url = new_database()
    init_db(url, PASSWORDS)
    return url


@pytest.fixture(scope="module")
def loader(database):
    """Return how the loader connects, after it has published a table in `analytics` and begun another run."""
    where = as_role(database, "shop_loader")
    run(
        where,
        "create table analytics.sales (day date, amount numeric)",
        "insert into analytics.sales values ('2025-01-31', 12.5)",
        "create view analytics.all_sales as select * from analytics.sales",
        "create schema run_ab12_clean",
        "create table run_ab12_clean.orders (order_id text)",
    )
    return where


@pytest.fixture(scope="module")
def analyst(database, loader):
    return as_role(database, "shop_analyst")


@pytest.fixture(scope="module")
def empty_server():
    """Return the URL of a server of our own, which knows no role of the warehouse at first."""
    return start_server()


def test_a_second_init_db_changes_nothing(database):
    before = rights(database)
    init_db(database, PASSWORDS)
    assert rights(database) == before
    owned = {name for kind, name, value in before if kind == "schema" and value.startswith("shop_loader")}
    assert owned - {"run_ab12_clean"} == set(SCHEMAS)


def test_set_ups_of_several_databases_at_once_all_succeed(empty_server):
    databases = [create_database(empty_server) for _ in range(3)]
    with ThreadPoolExecutor(len(databases)) as pool:
        said = list(pool.map(init_db, databases, [PASSWORDS] * len(databases)))
    assert all("shop_loader: the password is set to LOADER_PASSWORD." in lines for lines in said)


def test_init_db_says_what_is_there_and_what_is_next(empty_server):
    database = create_database(empty_server)
    init_db(database, {})
    run(database, "alter role shop_analyst password null")
    name = parsed(database, "url")["dbname"]
    schemas = "analytics, clean, ops, quality, quarantine, stage, warehouse"
    url = f"postgresql://shop_loader:<password>@localhost:5432/{name}"
    first = [
        f"Database '{name}' is set up (PostgreSQL {run(database, 'show server_version')[0][0].split()[0]}).",
        f"shop_loader writes and shop_analyst reads the schemas {schemas}.",
    ]
    last = f"Next: WAREHOUSE_URL={url} python run_pipeline.py --target postgres"
    assert init_db(database, {"shop_loader": PASSWORDS["shop_loader"]}) == [
        *first,
        "shop_loader: the password is set to LOADER_PASSWORD.",
        "shop_analyst: has no password yet. To set one: set ANALYST_PASSWORD and run init-db again, "
        "or \\password in psql.",
        last,
    ]
    assert init_db(database, {"shop_analyst": PASSWORDS["shop_analyst"]}) == [
        *first,
        "shop_loader: keeps the password it has.",
        "shop_analyst: the password is set to ANALYST_PASSWORD.",
        last,
    ]


def test_the_analyst_reads_tables_and_views_published_later(analyst):
    assert run(analyst, "select amount from analytics.sales union all select amount from analytics.all_sales") == [
        (12.5,),
        (12.5,),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into analytics.sales values ('2025-01-31', 1)",
        "update analytics.sales set amount = 0",
        "delete from analytics.sales",
        "truncate analytics.sales",
        "drop table analytics.sales",
        "create table analytics.mine (a int)",
        "create table public.mine (a int)",
        "create temporary table mine (a int)",
        "create schema mine",
        "set role shop_loader",
    ],
)
def test_the_analyst_cannot_write(analyst, statement):
    if statement != "set role shop_loader":
        with pytest.raises(errors.ReadOnlySqlTransaction):
            run(analyst, statement)
    # Read-only is a default that a session may change; the rights are what holds.
    with pytest.raises(errors.InsufficientPrivilege):
        run(analyst, "set default_transaction_read_only = off", statement)


def test_the_analyst_cannot_read_what_a_run_builds(analyst):
    with pytest.raises(errors.InsufficientPrivilege, match="run_ab12_clean"):
        run(analyst, "select * from run_ab12_clean.orders")


def test_an_analysts_session_has_limits_and_utc_in_this_database_only(analyst, database):
    names = "default_transaction_read_only statement_timeout idle_in_transaction_session_timeout lock_timeout TimeZone"
    query = f"select {', '.join(f'current_setting({name!r})' for name in names.split())}"
    assert run(analyst, query) == [("on", "15min", "10min", "1min", "UTC")]
    elsewhere = as_role(database, "shop_analyst", dbname="postgres")
    assert run(elsewhere, "show default_transaction_read_only") == [("off",)]


def test_the_loader_sees_with_set_role_what_an_analyst_sees(loader):
    assert run(loader, "set role shop_analyst", "select count(*) from analytics.sales") == [(1,)]
    with pytest.raises(errors.InsufficientPrivilege):
        run(loader, "set role shop_analyst", "select * from run_ab12_clean.orders")
    with pytest.raises(errors.InsufficientPrivilege):
        run(loader, "set role shop_analyst", "drop table analytics.sales")


def test_the_queries_of_the_page_run_as_the_analyst(analyst):
    blocks = re.findall(r"^```\n(select .*?)^```$", (PROJECT / "docs" / "postgres.md").read_text(), re.DOTALL | re.M)
    busy, sizes = (run(analyst, block) for block in blocks)
    assert "shop_analyst" in {row[1] for row in busy}
    assert {"analytics", "run_ab12_clean"} <= {row[0] for row in sizes}


def test_what_another_user_made_before_becomes_the_loaders(new_database):
    database = new_database()
    run(
        database,
        "create schema analytics",
        "create table analytics.sales (id int generated always as identity, number serial)",
        "create materialized view analytics.fast as select * from analytics.sales",
        "create sequence analytics.alone",
        "create function analytics.one() returns int language sql return 1",
        "create schema run_ab12_analytics",
        "create table run_ab12_analytics.sales (id int)",
        "create schema checkpoint_ab12_delta",
        "create schema draft_ab12_ops",
        "create schema run_errands",
        "grant insert on analytics.sales to public",
        "grant usage on schema run_ab12_analytics to public",
    )
    init_db(database, PASSWORDS)
    run(
        as_role(database, "shop_loader"),
        "drop schema run_ab12_analytics cascade",
        "drop schema checkpoint_ab12_delta",
        "drop schema draft_ab12_ops",
        "drop function analytics.one()",
        "drop sequence analytics.alone",
        "refresh materialized view analytics.fast",
        "alter table analytics.sales add column day date",
    )
    assert run(as_role(database, "shop_analyst"), "select count(*) from analytics.fast") == [(0,)]
    query = "select has_table_privilege('shop_analyst', 'analytics.sales', 'insert'), nspowner::regrole::text"
    assert run(database, f"{query} from pg_namespace where nspname = 'run_errands'") == [
        (False, run(database, "select current_user")[0][0])
    ]


def test_a_hostile_database_name_works(postgres_server):
    name = f'its "shop" %s {{}} \'25; -- {os.getpid()}'
    place = {**parsed(postgres_server, "url"), "dbname": name}
    host, port = place.get("host", ""), place.get("port", "")
    user, password = quote(place["user"], safe=""), quote(place.get("password", ""), safe="")
    url = f"postgresql+psycopg2://{user}:{password}@/{quote(name, safe='')}?host={quote(host, safe='')}"
    url += f"&port={port}" if port else ""
    run(postgres_server, sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        assert repr(name) in init_db(url, PASSWORDS)[0]
        assert run(as_role(url, "shop_analyst"), "show statement_timeout") == [("15min",)]
    finally:
        run(postgres_server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_a_database_owner_with_createrole_may_set_up_a_server_that_has_no_superuser_to_offer():
    server = start_server()
    run(server, "create role owner login createrole", "create database owned owner owner")
    owner = as_role(server, "owner", dbname="owned")
    url = server.replace("postgres:@", "owner:@").replace("/postgres?", "/owned?")
    run(owner, "create schema stage", "create table stage.orders (order_id text)")
    for _ in range(2):
        lines = init_db(url, PASSWORDS)
        assert "shop_analyst: the password is set to ANALYST_PASSWORD." in lines
    said = init_db(url, {})
    assert sum("keeps its password, if it has one" in line for line in said) == 2
    assert run(as_role(url, "shop_analyst"), "select * from stage.orders") == []
    run(as_role(url, "shop_loader"), "drop table stage.orders", "create schema draft_ab12_stage")

    run(as_role(server, "postgres", dbname="owned"), "create table stage.theirs (a int)")
    with pytest.raises(WarehouseError, match=r"table stage\.theirs belongs to postgres, and owner may not hand it"):
        init_db(url, PASSWORDS)


def test_passwords_are_stored_hashed_and_are_the_ones_given(empty_server):
    database = create_database(empty_server)
    run(database, f"alter database {parsed(database, 'url')['dbname']} set log_statement = 'all'")
    given = {"shop_loader": 'it\'s \\ "ä" %s', "shop_analyst": "a plain one"}
    init_db(database, given)
    stored = dict(run(empty_server, "select rolname, rolpassword from pg_authid where rolname like 'shop%'"))
    for role, password in given.items():
        _, iterations, salt, keys = re.split(r"[$:]", stored[role], maxsplit=3)
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        assert keys.endswith(base64.b64encode(server_key).decode())
    ((log,),) = run(empty_server, "select pg_read_file('log')")
    assert 'alter role "shop_analyst" password' in log
    assert not [password for password in given.values() if password in log]


def test_a_user_without_the_rights_learns_who_has_them(database):
    run(database, "drop role if exists shop_tests_guest", "create role shop_tests_guest login password 'guest-secret'")
    url = make_url(database).set(username="shop_tests_guest", password="guest-secret")
    with pytest.raises(WarehouseError) as caught:
        init_db(url.render_as_string(hide_password=False), {})
    assert str(caught.value) == (
        f"User 'shop_tests_guest' may not set up database '{url.database}': permission denied to grant role "
        '"shop_analyst". Give, as WAREHOUSE_ADMIN_URL, the URL of a superuser, or of the database\'s owner with '
        "CREATEROLE; where the roles exist already, of the user who made them."
    )
    run(database, "drop role shop_tests_guest")


def test_a_database_in_another_encoding_is_refused(empty_server):
    run(empty_server, "create database latin encoding 'LATIN1' locale 'C' template template0")
    with pytest.raises(WarehouseError, match="Database latin is encoded in LATIN1; the warehouse needs UTF8"):
        init_db(empty_server.replace("/postgres?", "/latin?"), {})


def test_an_analyst_who_is_a_superuser_is_refused(empty_server):
    init_db(empty_server, {})
    run(empty_server, "alter role shop_analyst superuser")
    with pytest.raises(WarehouseError, match="alter role shop_analyst nosuperuser"):
        init_db(empty_server, {})
    run(empty_server, "alter role shop_analyst nosuperuser")


def test_a_missing_database_is_named(postgres_server):
    url = make_url(postgres_server).set(database="shop_tests_nowhere")
    with pytest.raises(WarehouseError, match="There is no database 'shop_tests_nowhere'"):
        init_db(url.render_as_string(hide_password=False), {})


def test_a_server_that_does_not_answer_is_named_without_the_password():
    with pytest.raises(WarehouseError) as caught:
        init_db("postgresql://postgres:hunter22@127.0.0.1:1/shop", {})
    said = str(caught.value)
    assert said.startswith("No connection to database 'shop' at 127.0.0.1:1: ") and "docker compose up" in said
    assert "hunter22" not in said and "\n" not in said


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:hunter22@localhost/shop",
        "host=localhost password=hunter22",
        "postgresql://loader:hunter22/x@localhost/shop",
        "postgresql://loader:hunter22%zz@localhost/shop",
        "postgresql://loader:hunter22@localhost/shop?colour=red",
    ],
)
def test_an_unusable_url_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match=r"postgresql://user:password@host:5432/database") as caught:
        init_db(url, {})
    assert "hunter22" not in str(caught.value)


def test_url_and_passwords_come_from_the_environment():
    environment = {"WAREHOUSE_URL": "a", "WAREHOUSE_ADMIN_URL": "b", "LOADER_PASSWORD": "x", "ANALYST_PASSWORD": ""}
    assert admin_url(environment) == "b"
    assert admin_url({"WAREHOUSE_URL": "a", "WAREHOUSE_ADMIN_URL": ""}) == "a"
    assert role_passwords(environment) == {"shop_loader": "x"}
    with pytest.raises(ConfigError, match="Neither WAREHOUSE_ADMIN_URL nor WAREHOUSE_URL is set"):
        admin_url({})
