"""A PostgreSQL server: its address from the environment, transactions on it, and its errors as one clear message.

An address holds a password, so it is read where it is needed and kept nowhere: not in settings, manifests or logs.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import psycopg2
import tenacity
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from lib.base.errors import (
    ConfigError,
    ConnectionLostError,
    WarehouseError,
    WarehouseLockedError,
    WarehouseUnavailableError,
    in_one_line,
)
from lib.base.postgres import EXAMPLE, TRANSIENT, connection_arguments
from lib.base.secrets import mask
from lib.config import Postgres

LOADER_URL, ANALYST_URL, ADMIN_URL = "WAREHOUSE_URL", "WAREHOUSE_ANALYST_URL", "WAREHOUSE_ADMIN_URL"

_LIMITS = Postgres()


@dataclass(frozen=True)
class Server:
    """The database that an environment variable names, and how long to wait there."""

    variable: str
    limits: Postgres = _LIMITS

    def __post_init__(self) -> None:
        # From now on nothing that is written shows the password, whether or not the address is used.
        with contextlib.suppress(ConfigError):
            _ = self.arguments

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The address as libpq's keywords: host, port, dbname, user, password, sslmode ...

        Raises ConfigError where the variable is missing or holds no address.
        """
        text = os.environ.get(self.variable, "")
        if not text:
            raise ConfigError(
                f"PostgreSQL needs the environment variable {self.variable}, which is not set:"
                f" {self.variable}={EXAMPLE} (see docs/postgres.md)."
            )
        arguments = connection_arguments(text, self.variable)
        return {"host": "localhost", "port": "5432", "user": "", "password": ""} | arguments

    @property
    def place(self) -> str:
        """host:port/database, to be read by people."""
        return f"{self.arguments['host']}:{self.arguments['port']}/{self.arguments['dbname']}"

    @property
    def options(self) -> str:
        """The settings of a session, as libpq expects them."""
        limits = self.limits
        settings = {
            "statement_timeout": f"{limits.statement_timeout_seconds}s",
            "lock_timeout": f"{limits.lock_timeout_seconds}s",
            "idle_in_transaction_session_timeout": f"{limits.statement_timeout_seconds}s",
            "work_mem": limits.work_mem,
            "jit": "off",
            "TimeZone": "UTC",
            "client_min_messages": "warning",
        }
        return " ".join(f"-c {name}={value}" for name, value in settings.items())

    @cached_property
    def _engine(self) -> Engine:
        defaults = {"connect_timeout": "10", "keepalives_idle": "30", "application_name": "shop-analytics"}
        given = defaults | {k: v for k, v in self.arguments.items() if v} | {"options": self.options}
        connect = partial(psycopg2.connect, **given)
        return create_engine("postgresql+psycopg2://", creator=connect, poolclass=NullPool, use_native_hstore=False)

    def connect(self) -> Connection:
        """Return a new connection, asked for again where the server is likely to answer in a moment."""
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: TRANSIENT.search(_reason(error)) is not None),
            stop=tenacity.stop_after_attempt(4),
            wait=tenacity.wait_exponential(0.5),
            reraise=True,
        )
        try:
            return tries(self._engine.raw_connection)
        except (DBAPIError, psycopg2.Error) as error:
            found = _reason(error)
            kind = WarehouseUnavailableError if TRANSIENT.search(found) else WarehouseError
            raise kind(
                f"PostgreSQL at {self.place} cannot be reached ({found}). {advice(found, self.arguments)}"
                f" The address is in {self.variable}; see docs/postgres.md."
            ) from None

    @contextlib.contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Cursor]:
        """Yield a cursor in a transaction: committed at the end, undone where anything is raised.

        A read-only one sees the database as it was at its first statement.
        """
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                if read_only:
                    cursor.execute("set transaction isolation level repeatable read, read only")
                yield cursor
            connection.commit()
        except psycopg2.Error as error:
            raise self.explain(error) from None
        finally:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def lost(self, found: str) -> ConnectionLostError:
        """Return the error that reports a lost connection."""
        return ConnectionLostError(
            f"The connection to PostgreSQL at {self.place} was lost ({found}). What readers see is whole: the last run"
            " that was published. Run again when the server is back."
        )

    def explain(self, error: psycopg2.Error) -> WarehouseError:
        """Return the error as one message: what was found, and what to do."""
        found = in_one_line(error)
        if is_connection_lost(error):
            return self.lost(found)
        limits = self.limits
        match error:
            case errors.QueryCanceled() if "statement timeout" in found:
                return WarehouseError(
                    f"A statement took longer than {limits.statement_timeout_seconds:,} s"
                    " (warehouse.postgres.statement_timeout_seconds in pipeline.yml)."
                )
            case errors.LockNotAvailable():
                return WarehouseLockedError(
                    f"Somebody holds a lock at {self.place} for longer than {limits.lock_timeout_seconds:,} s"
                    " (warehouse.postgres.lock_timeout_seconds in pipeline.yml); docs/postgres.md shows how to see who."
                )
            case errors.InsufficientPrivilege() | errors.ReadOnlySqlTransaction():
                return WarehouseError(
                    f"{self.arguments['user']!r} may only read at {self.place} ({found}). Runs need the loader:"
                    f" python run_pipeline.py init-db, and {LOADER_URL} with its name."
                )
            case errors.DiskFull() | errors.OutOfMemory():
                return WarehouseError(
                    f"PostgreSQL at {self.place} has run out of room ({found}). Nothing that is published has changed:"
                    " free some there and run again."
                )
        return WarehouseError(f"PostgreSQL at {self.place}: {mask(str(error).strip())}")


def _reason(error: BaseException) -> str:
    return in_one_line(error.__cause__ or error)


def advice(found: str, arguments: Mapping[str, str]) -> str:
    """Return what to do about an attempt to connect that failed."""
    if re.search(r'database ".*" does not exist', found):
        name = arguments.get("dbname", "")
        return f"There is no database {name!r}. Create it: create database shop encoding 'UTF8' template template0."
    if re.search(r"authentication failed|no password supplied|role .* does not exist|no pg_hba.conf", found):
        return "The server refused the user: check name and password."
    return "Is it running there? `docker compose up -d --wait` starts the project's own."


#: The same, as text: how libpq and the server say it, in messages that went through dbt.
CONNECTION_LOST = re.compile(
    "terminating connection|closed the connection|connection already closed|connection has been closed"
    "|could not receive|could not send|connection to server|no connection to the server|the database system is",
    re.IGNORECASE,
)


def is_connection_lost(error: BaseException) -> bool:
    """Whether an error says that the connection is gone."""
    if isinstance(error, psycopg2.InterfaceError | errors.AdminShutdown | errors.CrashShutdown):
        return True
    code = getattr(error, "pgcode", None) or ""
    return isinstance(error, psycopg2.OperationalError) and (not code or code.startswith("08"))


def exists(cursor: Cursor, table: str) -> bool:
    """Whether a table or view schema.name exists."""
    return bool(fetch_value(cursor, "select to_regclass(%s) is not null", (table,)))


def fetch_value(cursor: Cursor, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
    """Return the only value of a query, None where there is no row."""
    cursor.execute(sql, parameters or None)
    row = cursor.fetchone()
    return row[0] if row else None
