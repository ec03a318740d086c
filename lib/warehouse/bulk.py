"""Many rows into and out of PostgreSQL by COPY, in bounded memory, with types as DuckDB hands them out.

DuckDB reads and writes the files; what passes between the two is a CSV file in a temporary folder.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import duckdb
import pandas as pd
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from lib.base.quoting import quoted_list, text_literal
from lib.lake import Lake

_DATES, _INTEGERS, _NUMBERS, _BOOLEAN = (1082, 1114), {20: "int64", 21: "int16", 23: "int32"}, (700, 701, 1700), 16


class _WithoutNul:
    """A file without NUL characters, which no server stores."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        while block := self._file.read(size):
            if text := block.replace(b"\0", b""):
                return text
        return b""


def copy_query(
    cursor: Cursor, query: str, table: str, columns: Iterable[str], lake: Lake, limits: dict[str, Any]
) -> int:
    """Copy the rows of DuckDB's query over files of the lake into a table; return how many."""
    with duckdb.connect(config=limits) as connection:
        if not lake.is_local:
            connection.register_filesystem(lake.fs)
        return _copy(cursor, connection, query, table, columns)


def copy_frame(cursor: Cursor, frame: pd.DataFrame, table: str) -> int:
    """Copy a DataFrame's rows into a table, columns by name."""
    with duckdb.connect() as connection:
        connection.register("_frame", frame)
        return _copy(cursor, connection, "from _frame", table, frame.columns)


def _copy(cursor: Cursor, connection: duckdb.DuckDBPyConnection, query: str, table: str, columns: Iterable[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"copy ({query}) to {text_literal(str(path))} (format csv, header false)")
        with path.open("rb") as file:
            copy = f"copy {table} ({quoted_list(columns)}) from stdin (format csv)"
            cursor.copy_expert(copy, _WithoutNul(file), size=1 << 18)
    return int(cursor.rowcount)


def export(cursor: Cursor, table: str, types: dict[str, str], path: Path) -> None:
    """Write a table, columns with their SQL types, to a Parquet file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".csv") as file, duckdb.connect() as connection:
        cursor.copy_expert(f"copy (select {quoted_list(types)} from {table}) to stdout (format csv)", file)
        file.flush()
        listed = ", ".join(f"{text_literal(name)}: {text_literal(kind)}" for name, kind in types.items())
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            f"copy (select * from read_csv({text_literal(file.name)}, header = false, columns = {{{listed}}},"
            " nullstr = '', quote = '\"', escape = '\"', delim = ',', auto_detect = false, allow_quoted_nulls = false))"
            f" to {text_literal(str(path))} (format parquet, compression zstd)"
        )


def frame(cursor: Cursor) -> pd.DataFrame:
    """Return the rows of a query that was executed, each column of the type that DuckDB's DataFrames have."""
    described = cursor.description or ()
    values = list(zip(*cursor.fetchall(), strict=True)) or [() for _ in described]
    columns = [_series(column.type_code, v) for column, v in zip(described, values, strict=True)]
    found = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    found.columns = pd.Index([column.name for column in described])
    return found


def _series(code: int, values: tuple[object, ...]) -> pd.Series:
    has_null = any(v is None for v in values)
    if code in _INTEGERS:
        return pd.Series(values, dtype=_INTEGERS[code].replace("i", "I") if has_null else _INTEGERS[code])
    if code in _NUMBERS:
        return pd.Series(values, dtype="float64")
    if code in _DATES:
        return pd.Series(pd.to_datetime(pd.Series(values, dtype="object"))).astype("datetime64[us]")
    if code == _BOOLEAN:
        return pd.Series(values, dtype="boolean" if has_null else "bool")
    return pd.Series(values, dtype="object" if all(v is None for v in values) else "str")
