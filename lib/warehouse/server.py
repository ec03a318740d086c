"""A PostgreSQL server: its address from the environment, transactions on it, and its errors as one clear message.

An address holds a password, so it is read where it is needed and kept nowhere: not in settings, manifests or logs.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from lib.config import Postgres, keep_secret, mask
from lib.errors import ConfigError, ConnectionLostError, WarehouseError

LOADER_URL, ANALYST_URL, ADMIN_URL = "WAREHOUSE_URL", "WAREHOUSE_ANALYST_URL", "WAREHOUSE_ADMIN_URL"

_EXAMPLE = "postgresql://user:password@host:5432/database"
#: How long to wait before asking a server again that does not answer, in seconds.
_PAUSES = (0.5, 1.0, 2.0)
#: What a server that may answer in a moment says, or the system in its place.
_PASSING = ("refused", "timeout", "timed out", "starting up", "shutting down", "closed the connection", "No such file",
            "too many clients", "remaining connection slots")  # fmt: skip
_LIMITS = Postgres()
T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """The database that an environment variable names, and how long to wait there."""

    variable: str
    limits: Postgres = _LIMITS

    @cached_property
    def url(self) -> URL:
        """The parsed address; raise ConfigError where the variable is missing or holds none."""
        text = os.environ.get(self.variable, "")
        if not text:
            raise ConfigError(
                f"PostgreSQL needs the environment variable {self.variable}, which is not set:"
                f" {self.variable}={_EXAMPLE} (see docs/postgres.md)."
            )
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise ConfigError(f"{self.variable} is no address such as {_EXAMPLE}.") from None
        if url.drivername.split("+")[0] not in ("postgresql", "postgres") or not url.database:
            raise ConfigError(f"{self.variable} is {mask(text)!r}; expected {_EXAMPLE}.")
        if url.password:
            keep_secret(str(url.password))
        return url.set(drivername="postgresql+psycopg2")

    @property
    def place(self) -> str:
        """host:port/database, to be read by people."""
        host = self.url.host or str(self.url.query.get("host") or "localhost")
        return f"{host}:{self.url.port or 5432}/{self.url.database}"

    def is_at(self, place: str) -> bool:
        """Whether the variable names this place."""
        with contextlib.suppress(ConfigError):
            return self.place == place
        return False

    @property
    def options(self) -> str:
        """The settings of a session, as libpq takes them."""
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
        given = {"options": self.options, "connect_timeout": 10, "keepalives_idle": 30}
        arguments = {**given, "application_name": "shop-analytics"}
        return create_engine(self.url, poolclass=NullPool, connect_args=arguments, use_native_hstore=False)

    def connect(self) -> Connection:
        """Return a new connection, asked for again where the server is likely to answer in a moment."""
        for pause in (*_PAUSES, None):
            try:
                return self._engine.raw_connection()
            except Exception as error:
                cause = error.__cause__ if isinstance(error.__cause__, psycopg2.Error) else error
                if not isinstance(cause, psycopg2.Error):
                    raise
                if pause is None or not any(word in str(cause) for word in _PASSING):
                    raise WarehouseError(
                        f"PostgreSQL at {self.place} cannot be reached ({first_line(cause)}). Is it running, and is"
                        f" {self.variable} right? See docs/postgres.md."
                    ) from None
                time.sleep(pause)
        raise AssertionError

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
            raise self.explained(error) from None
        finally:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def explained(self, error: psycopg2.Error) -> WarehouseError:
        """Return the error as one message: what was found, and what to do."""
        found = first_line(error)
        if is_lost(error):
            return ConnectionLostError(
                f"The connection to PostgreSQL at {self.place} was lost ({found}). What readers see is whole: the last"
                " run that was published. Run again when the server is back."
            )
        limits = self.limits
        match error:
            case errors.QueryCanceled() if "statement timeout" in found:
                return WarehouseError(
                    f"A statement took longer than {limits.statement_timeout_seconds:,} s"
                    " (warehouse.postgres.statement_timeout_seconds in pipeline.yml)."
                )
            case errors.LockNotAvailable():
                return WarehouseError(
                    f"Somebody holds a lock at {self.place} for longer than {limits.lock_timeout_seconds:,} s"
                    " (warehouse.postgres.lock_timeout_seconds in pipeline.yml); docs/postgres.md shows how to see who."
                )
            case errors.InsufficientPrivilege() | errors.ReadOnlySqlTransaction():
                return WarehouseError(
                    f"{self.url.username!r} may only read at {self.place} ({found}). Runs need the loader:"
                    f" python run_pipeline.py init-db, and {LOADER_URL} with its name."
                )
            case errors.DiskFull() | errors.OutOfMemory():
                return WarehouseError(
                    f"PostgreSQL at {self.place} has run out of room ({found}). Nothing that is published has changed:"
                    " free some there and run again."
                )
        return WarehouseError(f"PostgreSQL at {self.place}: {mask(str(error).strip())}")


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the connection is gone."""
    if isinstance(error, psycopg2.InterfaceError | errors.AdminShutdown | errors.CrashShutdown):
        return True
    code = getattr(error, "pgcode", None) or ""
    return isinstance(error, psycopg2.OperationalError) and (not code or code.startswith("08"))


def twice(action: Callable[[], T]) -> T:
    """Do what may safely be done again: once more, where the connection is lost under way."""
    try:
        return action()
    except ConnectionLostError:
        time.sleep(_PAUSES[0])
        return action()


def first_line(error: BaseException) -> str:
    """Return what an error says, on one line and without secrets."""
    return mask(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__))


def fetch_value(cursor: Cursor, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
    """Return the only value of a query, None where there is no row."""
    cursor.execute(sql, parameters or None)
    row = cursor.fetchone()
    return row[0] if row else None
