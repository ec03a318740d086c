"""Sets up a PostgreSQL warehouse for its users: the roles, schemas and rights of `sql/roles/roles.sql`, and passwords.

What runs and readers do in the warehouse afterwards is not here. All of this runs as a user who administers the
database, never as the loader or the analyst.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import psycopg2
import tenacity
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import encrypt_password

from lib.base.errors import ConfigError, WarehouseError, in_one_line
from lib.base.files import PROJECT
from lib.base.postgres import connection_arguments
from lib.base.secrets import mask
from lib.warehouse.server import ADMIN_URL, LOADER_URL, advice, fetch_value

ROLES_FILE = PROJECT / "sql" / "roles" / "roles.sql"

#: The environment variable that holds each role's password.
PASSWORD_VARIABLES = {"shop_loader": "LOADER_PASSWORD", "shop_analyst": "ANALYST_PASSWORD"}


def admin_url(environment: Mapping[str, str]) -> str:
    """Return the URL to administer the warehouse with: WAREHOUSE_ADMIN_URL, else WAREHOUSE_URL.

    Raises ConfigError where neither is set.
    """
    url = environment.get(ADMIN_URL) or environment.get(LOADER_URL)
    if not url:
        raise ConfigError(
            "Neither WAREHOUSE_ADMIN_URL nor WAREHOUSE_URL is set. Name the database and a user who may set it up: "
            "WAREHOUSE_ADMIN_URL=postgresql://postgres:<password>@localhost:5432/shop"
        )
    return url


def role_passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords that LOADER_PASSWORD and ANALYST_PASSWORD give, by role; an empty one counts as none."""
    return {role: environment[name] for role, name in PASSWORD_VARIABLES.items() if environment.get(name)}


def init_db(url: str, passwords: Mapping[str, str]) -> list[str]:
    """Set up roles, schemas and rights in the database at `url`, and the given passwords; say what is there and next.

    One transaction: all of it or nothing. May be run again at any time. Passwords leave this process hashed
    (SCRAM-SHA-256), so that no log of the server holds them.

    Raises ConfigError for an unusable URL, WarehouseError where the server or the user's rights do not do.
    """
    arguments = connection_arguments(url, "The warehouse's URL")
    connection = _connect(arguments)
    try:
        _set_up(connection, passwords)
        return _state(connection, passwords)
    except errors.FeatureNotSupported as error:
        raise WarehouseError(_primary(error)) from None
    except errors.InsufficientPrivilege as error:
        raise WarehouseError(
            f"User {_user(connection)} may not set up database {_database(connection)}: {_primary(error)}. Give, as "
            "WAREHOUSE_ADMIN_URL, the URL of a superuser, or of the database's owner with CREATEROLE; where the roles "
            "exist already, of the user who made them."
        ) from None
    except psycopg2.Error as error:
        raise WarehouseError(
            f"Setting up {_place(arguments)} failed, nothing was changed: {in_one_line(error)}"
        ) from None
    finally:
        connection.close()


# Roles belong to the whole server: another database's set-up may change the same one this instant.
@tenacity.retry(
    retry=tenacity.retry_if_exception_message(match="(?s).*concurrently"),
    stop=tenacity.stop_after_attempt(5),
    wait=tenacity.wait_incrementing(0.1, 0.1),
    reraise=True,
)
def _set_up(connection: Connection, passwords: Mapping[str, str]) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(ROLES_FILE.read_text(encoding="utf-8"))
        for role, password in passwords.items():
            hashed = encrypt_password(password, role, connection, "scram-sha-256")
            statement = sql.SQL("alter role {} password {}")
            cursor.execute(statement.format(sql.Identifier(role), sql.Literal(hashed)))


def _connect(arguments: Mapping[str, str]) -> Connection:
    try:
        defaults: dict[str, Any] = {"connect_timeout": "10", "application_name": "shop init-db"}
        return psycopg2.connect(**{**defaults, **arguments})
    except psycopg2.Error as error:
        found = in_one_line(error)
        raise WarehouseError(f"No connection to {_place(arguments)}: {found}. {advice(found, arguments)}") from None


def _state(connection: Connection, passwords: Mapping[str, str]) -> list[str]:
    """Return lines on what is there now and what to do next."""
    with connection, connection.cursor() as cursor:
        schemas = fetch_value(
            cursor,
            "select string_agg(nspname, ', ' order by nspname) from pg_namespace"
            " where nspowner = 'shop_loader'::regrole and has_schema_privilege('shop_analyst', oid, 'usage')",
        )
        lines = [
            f"Database {_database(connection)} is set up (PostgreSQL {_version(connection)}).",
            f"shop_loader writes and shop_analyst reads the schemas {schemas}.",
        ]
        for role, variable in PASSWORD_VARIABLES.items():
            if role in passwords:
                lines.append(f"{role}: the password is set to {variable}.")
                continue
            known = fetch_value(cursor, "select has_table_privilege('pg_authid', 'select')")
            has_one = "select rolpassword is not null from pg_authid where rolname = %s"
            if known and fetch_value(cursor, has_one, (role,)):
                lines.append(f"{role}: keeps the password it has.")
                continue
            lacks = "has no password yet" if known else "keeps its password, if it has one"
            lines.append(f"{role}: {lacks}. To set one: set {variable} and run init-db again, or \\password in psql.")
    info = connection.info
    host = "localhost" if info.host.startswith("/") else info.host
    lines.append(
        f"Next: WAREHOUSE_URL=postgresql://shop_loader:<password>@{host}:{info.port}/{quote(info.dbname, safe='')}"
        " python run_pipeline.py --target postgres"
    )
    return lines


def _database(connection: Connection) -> str:
    return repr(connection.info.dbname)


def _version(connection: Connection) -> str:
    return (connection.get_parameter_status("server_version") or "").split()[0]


def _user(connection: Connection) -> str:
    return repr(connection.info.user)


def _place(arguments: Mapping[str, str]) -> str:
    name, host = arguments.get("dbname", ""), arguments.get("host", "localhost")
    return f"database {name!r} at {host}:{arguments.get('port', '5432')}"


def _primary(error: psycopg2.Error) -> str:
    return mask((error.diag.message_primary or str(error)).strip())
