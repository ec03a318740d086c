"""Many rows into and out of PostgreSQL by COPY, in bounded memory, with types as DuckDB hands them out."""

import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from lib.base.quoting import quoted_list, text_literal
from lib.entities import FINDINGS
from lib.lake import Lake

#: Rows at a time: some 20 MB of text.
_ROWS = 65_536
_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
_DATES, _INTEGERS, _NUMBERS, _BOOLEAN = (1082, 1114), {20: "int64", 21: "int16", 23: "int32"}, (700, 701, 1700), 16


class _Text(io.RawIOBase):
    """Arrow batches as the CSV text that COPY reads, made while it is read."""

    def __init__(self, batches: Iterable[pa.RecordBatch | pa.Table]) -> None:
        self._batches: Iterator[pa.RecordBatch | pa.Table] = iter(batches)
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            batch = next(self._batches, None)
            if batch is None:
                return b""
            sink = pa.BufferOutputStream()
            pyarrow.csv.write_csv(batch, sink, _CSV)
            text = sink.getvalue().to_pybytes()
            # No server stores a NUL character.
            self._rest = memoryview(text.replace(b"\0", b"") if b"\0" in text else text)
        chunk = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(chunk) :]
        return bytes(chunk)


def copy_parquet(
    cursor: Cursor, lake: Lake, path: str, table: str, columns: list[str], files: set[str] | None = None
) -> int:
    """Copy a standardized batch's rows into a table, of all its files or of some; return how many."""
    with lake.fs.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        batches: Iterable[pa.RecordBatch] = parquet.iter_batches(batch_size=_ROWS, columns=columns)
        if files is not None:
            wanted = pa.array(sorted(files), pa.string())
            batches = (b.filter(pc.is_in(b.column("_source_file"), value_set=wanted)) for b in batches)
        return _copy(cursor, table, columns, (b.select(columns) for b in batches))


def copy_findings(
    cursor: Cursor, lake: Lake, path: str, table: str, entity: str, files: set[str] | None = None
) -> None:
    """Copy the findings in a standardized batch's rows into a table, of all its files or of some."""
    own = [name for name in FINDINGS if name.startswith("_")]
    with lake.fs.open(path, "rb") as file:
        batches = pq.ParquetFile(file).iter_batches(batch_size=_ROWS, columns=["_key", *own, "_findings"])
        found = (b.filter(pc.is_valid(b.column("_findings"))) for b in batches)
        if files is not None:
            wanted = pa.array(sorted(files), pa.string())
            found = (b.filter(pc.is_in(b.column("_source_file"), value_set=wanted)) for b in found)
        _copy(cursor, table, list(FINDINGS), (_findings(b, entity) for b in found if b.num_rows))


def _findings(rows: pa.RecordBatch, entity: str) -> pa.RecordBatch:
    """Return the findings of some rows, each as a row of its own."""
    noted = rows.column("_findings")
    of = rows.take(pc.list_parent_indices(noted))
    notes = pc.list_flatten(noted)
    columns = {"entity": pa.repeat(entity, len(notes)), "key": of.column("_key")}
    columns |= {name: pc.struct_field(notes, name) for name in ("field", "rule", "outcome", "before", "after")}
    columns |= {name: of.column(name) for name in FINDINGS if name.startswith("_")}
    return pa.RecordBatch.from_pydict(columns)


def copy_frame(cursor: Cursor, frame: pd.DataFrame, table: str) -> int:
    """Copy a DataFrame's rows into a table, columns by name."""
    columns = pa.Table.from_pandas(frame, preserve_index=False)
    for index, field in enumerate(columns.schema):
        if pa.types.is_null(field.type):
            columns = columns.set_column(index, field.name, columns.column(index).cast(pa.string()))
    return _copy(cursor, table, list(frame.columns), [columns])


def _copy(cursor: Cursor, table: str, columns: list[str], batches: Iterable[pa.RecordBatch | pa.Table]) -> int:
    cursor.copy_expert(f"copy {table} ({quoted_list(columns)}) from stdin (format csv)", _Text(batches), size=1 << 18)
    return int(cursor.rowcount)


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
