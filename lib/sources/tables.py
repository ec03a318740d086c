"""An open database: one transaction on a SQLite file or a server, and its queries' rows as Parquet, all as text.

What of a table is new is decided in `database`.
"""

import contextlib
import functools
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from lib.base.errors import SourceError, SourceUnavailableError
from lib.base.files import PROJECT
from lib.base.postgres import TRANSIENT
from lib.base.quoting import text_literal
from lib.base.secrets import keep_secret, mask

#: Rows fetched, and written to Parquet, at a time.
BLOCK = 50_000
_PLAIN_POSTGRES = postgresql.dialect(paramstyle="named")
_POSTGRES_FORMS = (
    "set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres';"
    " set local bytea_output = 'hex'; set local extra_float_digits = 1"
)
_STRING = pa.string()
#: How databases say that they are down, that a connection was lost, or that somebody holds a lock; SQLite's too.
_PASSING = re.compile(
    f"{TRANSIENT.pattern}|database is locked|Lost connection|gone away|terminating connection"
    "|connection already closed",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Database:
    """An open connection with its transaction, and where it leads to."""

    connection: sa.Connection
    place: str
    is_sqlite: bool
    is_postgres: bool

    @contextlib.contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Raise SourceError for what the database refuses; a refusal does not spoil the transaction."""
        drivers = self.connection.dialect.loaded_dbapi.Error
        try:
            with self.connection.begin_nested():
                yield
        except (SQLAlchemyError, drivers) as error:
            raise _kind(error)(
                f"{doing} cannot be read from {self.place} ({_said(error)}). Check that the database is there and"
                " whole, and that this user may read the table."
            ) from None

    def value(self, query: sa.Select[Any]) -> Any:
        return self.connection.execute(query).scalar()

    def read(self, query: sa.Select[Any], document: str, target: Path, duck: duckdb.DuckDBPyConnection) -> None:
        """Write a query's rows to a Parquet file: its columns as text, `_file` and `_row` (from 0)."""
        names = [column.name for column in query.selected_columns]
        if self.is_postgres:
            self._copy(query, names, document, target, duck)
            return
        schema = pa.schema([(name, _STRING) for name in names] + [("_file", _STRING), ("_row", pa.int64())])
        first = 0
        with self.connection.execute(query) as result, pq.ParquetWriter(target, schema, compression="zstd") as writer:
            # The driver's own cursor: rows are not wrapped one by one.
            cursor = result.cursor
            while cursor is not None and (rows := cursor.fetchmany(BLOCK)):
                columns: list[Any] = [as_text(values) for values in zip(*rows, strict=True)]
                columns += [pa.repeat(document, len(rows)), pa.array(range(first, first + len(rows)), pa.int64())]
                writer.write_table(pa.table(columns, schema=schema))
                first += len(rows)

    def _copy(
        self, query: sa.Select[Any], names: list[str], document: str, target: Path, duck: duckdb.DuckDBPyConnection
    ) -> None:
        text = target.with_suffix(".csv")
        with text.open("wb") as file:
            cursor: Any = self.connection.connection.cursor()
            cursor.copy_expert(f"copy ({_sql(query)}) to stdout (format csv)", file)
        listed = ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in names)
        duck.execute(
            f"copy (select *, {text_literal(document)} as _file, row_number() over () - 1 as _row from"
            f" read_csv({text_literal(str(text))}, header = false, columns = {{{listed}}}, delim = ',', quote = '\"',"
            " escape = '\"', nullstr = '', allow_quoted_nulls = false, auto_detect = false, max_line_size = 100000000,"
            f" new_line = '\\n')) to {text_literal(str(target))} (format parquet, compression zstd)"
        )
        text.unlink()


@contextlib.contextmanager
def open_database(url: str, path: str) -> Iterator[Database]:
    """Open the database at a URL, or else the SQLite file at a path, in a transaction that sees one state to its end.

    Raises SourceError where it cannot be reached.
    """
    address = _address(url) if url else sa.URL.create("sqlite", database=path)
    file = ""
    if address.get_backend_name() == "sqlite":
        file = str((PROJECT / Path(address.database or "").expanduser()).resolve())
    place = file or mask(address.render_as_string(hide_password=True))
    connection = None
    try:
        try:
            connection = _engine(address, file).connect()
            _begin(connection)
        except (SQLAlchemyError, sqlite3.Error, ImportError) as error:
            raise _unreachable(place, error) from None
        dialect = connection.dialect.name
        yield Database(connection, place, dialect == "sqlite", dialect == "postgresql")
    finally:
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()


def _address(text: str) -> sa.URL:
    """Return a URL with its driver; from now on nothing that is written shows the password."""
    try:
        url = sa.make_url(text)
    except (SQLAlchemyError, ValueError):
        raise SourceError(
            "'url' of this source is no address of a database; expected one such as"
            " postgresql://user:password@host:5432/shop, with a password's special characters percent-encoded."
        ) from None
    for secret in (url.password, url.query.get("password")):
        keep_secret(str(secret or ""))
    return url.set(drivername="postgresql+psycopg2") if url.drivername in ("postgres", "postgresql") else url


def _engine(address: sa.URL, file: str) -> sa.Engine:
    if file:
        # A file that is missing is not made. One whose writer was killed can be read once that is undone, which takes
        # a right to write; the transaction lets us do nothing but read.
        uri = f"{Path(file).as_uri()}?mode=rw"
        connect = functools.partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=30)
        return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    wait = {"connect_timeout": 10} if address.get_backend_name() == "postgresql" else {}
    return sa.create_engine(address, poolclass=NullPool, connect_args=wait)


def _begin(connection: sa.Connection) -> None:
    dialect, level = connection.dialect, "REPEATABLE READ"
    if dialect.name == "sqlite":
        connection.exec_driver_sql("pragma query_only = on")
        connection.exec_driver_sql("begin")
        connection.exec_driver_sql("select count(*) from sqlite_master")
        return
    if dialect.name == "postgresql":
        connection.execution_options(isolation_level=level, postgresql_readonly=True)
        connection.exec_driver_sql(_POSTGRES_FORMS)
    else:
        driver: Any = connection.connection.dbapi_connection
        if level in dialect.get_isolation_level_values(driver):
            connection.execution_options(isolation_level=level)
    connection.execute(sa.select(1))


def _unreachable(place: str, error: BaseException) -> SourceError:
    advice = "Check the address, that the database is running, and user and password."
    if isinstance(error, ImportError):
        advice = "Install that driver with pip."
    elif isinstance(getattr(error, "orig", error), sqlite3.Error):
        advice = "Check 'path' of this source: expected a SQLite file that this user may read."
    return _kind(error)(f"The database {place} cannot be reached ({_said(error)}). {advice}")


def _kind(error: BaseException) -> type[SourceError]:
    """Return what an error counts as: what can pass by itself is a lost connection, a server that is down, a lock."""
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    said = _said(error)
    is_lost |= _PASSING.search(said) is not None and "statement timeout" not in said
    return SourceUnavailableError if is_lost else SourceError


def _said(error: BaseException) -> str:
    """Return an error's message on one line, without secrets."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return mask(" ".join(str(inner).split()).rstrip(".") or type(inner).__name__)


def _sql(query: sa.Select[Any]) -> str:
    """Return a query as text with its values in it, for COPY, which takes no parameters."""
    return str(query.compile(dialect=_PLAIN_POSTGRES, compile_kwargs={"literal_binds": True}))


def as_text(values: Sequence[Any]) -> pa.Array:
    """Return a column's values as text that loses nothing; null stays null.

    One column of SQLite may hold whole numbers and others; each is written as it would be alone.
    """
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return pa.array(values, _STRING)
    with contextlib.suppress(OverflowError, pa.ArrowInvalid):
        if kinds in ({int}, {float}):
            return pa.array(values).cast(_STRING)
        if kinds == {int, float}:
            parts = [pa.array([v if type(v) is k else None for v in values]).cast(_STRING) for k in (int, float)]
            return pc.coalesce(*parts)
    return pa.array([None if v is None else _text(v) for v in values], _STRING)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return str(pa.scalar(value).cast(_STRING))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    return str(value)
