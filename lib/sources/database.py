"""Database sources: tables of a SQLite file or a PostgreSQL server, what is new in them and nothing twice.

All entities of a source are read in one transaction, so that they are one state of the database. Rows are found by
their time of change, going back some minutes, and by their id; then the table's ids are compared with those in the
lake, and what was missed (it committed late, or out of order) is read, however old. What was read again and is the
same as in the lake is not handed over. Any other database that SQLAlchemy has a driver for is read as SQLite is.
"""

import contextlib
import functools
import glob
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow.parquet as pq
import sqlalchemy as sa
from pydantic import Field, model_validator
from sqlalchemy.exc import NoSuchTableError

from lib.base.errors import SourceError, did_you_mean
from lib.base.hashing import sha256_of
from lib.base.quoting import quoted, quoted_list, text_literal
from lib.config import EntitySource, Source
from lib.sources.delivery import Delivery, Extractor, SourceFile, Task, Totals
from lib.sources.tables import Database, open_database


class TableEntity(EntitySource):
    """The table or view that holds an entity, as name or schema.name; `id` is unique in it.

    `updated_at` is the time of a row's last change; where it is empty, the table is read whole each time.
    """

    table: str = Field(min_length=1)
    id: str = Field("id", min_length=1)
    updated_at: str = "updated_at"

    @property
    def reader(self) -> dict[str, Any]:
        return {"table": self.table, "id": self.id, "updated_at": self.updated_at}


class DatabaseSource(Source):
    """A database at a URL, or a SQLite file at a path; the URL counts where both are given."""

    kind: Literal["database"]
    url: str = ""
    path: str = ""
    overlap_minutes: int = Field(60, ge=0)
    entities: dict[str, TableEntity] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_a_place(self) -> "DatabaseSource":
        if not self.url and not self.path:
            raise ValueError(
                "give 'url' (such as postgresql://user:password@host:5432/shop), or 'path' of a SQLite file"
            )
        return self


MODEL = DatabaseSource

#: Up to this many missed rows are asked for one by one.
_MANY = 10_000
#: Times further ahead are mistakes, which must not move the cursor.
_AHEAD = timedelta(days=1)
#: By how much texts of the same instant differ where they state different offsets from UTC.
_ZONES_APART = timedelta(hours=26)


@contextlib.contextmanager
def open_source(source: DatabaseSource, work_dir: Path) -> Iterator[Extractor]:
    """Connect, and hand over the extractor, which reads one entity after the other from one state of the database.

    Raises SourceError where the database cannot be reached.
    """
    with open_database(source.url, source.path) as database:
        yield functools.partial(_extract, source, database)


def _extract(source: DatabaseSource, database: Database, task: Task) -> Delivery:
    """Hand over the rows that are new or changed since the task's state, as one document, all columns as text.

    The cursor holds the newest `updated_at`, the highest `id` where ids are whole numbers, and how many rows are
    `gone`: in the lake, where they stay, and no longer in the table.

    Raises SourceError where the table, one of its columns or the database is missing, and where ids are not unique.
    """
    with database.explained(f"{task.entity} (table {task.spec.table})"):
        return _Extract(source, database, task, _described(database, task.entity, task.spec)).deliver()


def _described(database: Database, entity: str, spec: TableEntity) -> sa.TableClause:
    """Return the table with its columns; raise SourceError where something is missing."""
    schema, _, name = spec.table.rpartition(".")
    inspector = sa.inspect(database.connection)
    try:
        with warnings.catch_warnings():
            # Types that SQLAlchemy does not know are read as text like all others.
            warnings.simplefilter("ignore")
            columns = inspector.get_columns(name, schema or None)
    except NoSuchTableError:
        known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
        raise SourceError(
            f"{database.place} has no table {spec.table!r} (for {entity}).{did_you_mean(name, known)}"
            f" Found {', '.join(sorted(known)[:20]) or 'no tables'}. Correct 'table' of this entity."
        ) from None
    names = [column["name"] for column in columns]
    reserved = [n for n in names if n.lower() in ("_file", "_row")]
    if reserved:
        raise SourceError(
            f"Table {spec.table!r} in {database.place} has a column {reserved[0]!r}, a name the lake uses itself;"
            " give a view with another name for it as 'table'."
        )
    own = [("id", spec.id), ("updated_at", spec.updated_at)]
    lacking = [("columns", use.names[0]) for use in spec.missing(entity, names)]
    for key, wanted in [(k, w) for k, w in own if w] + lacking:
        if wanted not in names:
            none = ", or set it to '' where rows have no time of change" if key == "updated_at" else ""
            raise SourceError(
                f"Table {spec.table!r} in {database.place} has no column {wanted!r} (for {entity}); found"
                f" {', '.join(names[:20])}.{did_you_mean(wanted, names)} Correct {key!r} of this entity{none}."
            )
    return sa.table(name, *(sa.column(c["name"], c["type"]) for c in columns), schema=schema or None)


@dataclass(frozen=True)
class _Extract:
    """One extract of one table."""

    source: DatabaseSource
    database: Database
    task: Task
    table: sa.TableClause

    @property
    def spec(self) -> TableEntity:
        return cast(TableEntity, self.task.spec)

    @property
    def id(self) -> sa.ColumnClause[Any]:
        return self.table.c[self.spec.id]

    @property
    def updated_at(self) -> sa.ColumnClause[Any] | None:
        return self.table.c[self.spec.updated_at] if self.spec.updated_at else None

    @property
    def has_text_times(self) -> bool:
        """Whether times of change are compared as text, in whatever ISO form they are."""
        column = self.updated_at
        return self.database.is_sqlite or (column is not None and isinstance(column.type, sa.String))

    def deliver(self) -> Delivery:
        newest, highest = self._position()
        found = self._since_cursor() if self.task.state.parts else None
        whole = found is None
        read = [self._read(None if whole else found, 0)]
        ids = read[0] if whole else self._read_ids()
        self._check_ids(ids)
        gone = 0
        if self.task.state.parts:
            missed, gone = self._compared(ids, read[0])
            if missed:
                read += [self._read(self.id.in_(missed), 1)] if len(missed) <= _MANY else []
                # The ids of a view may not be found by their text: then nothing is left but to read all.
                if len(read) == 1 or pq.read_metadata(read[1]).num_rows != len(missed):
                    read = [self._read(None, 2)]
        part, rows = self._part(read)
        totals = self._totals(gone)
        if not rows:
            return Delivery(totals=totals)
        cursor = {"updated_at": newest or self.task.state.cursor.get("updated_at"), "id": highest, "gone": gone}
        file = SourceFile(self.task.next_document, sha256_of(part), part.stat().st_size, rows=rows)
        columns = tuple(c.name for c in self.table.columns)
        return Delivery(files=(file,), parts=(part,), columns=columns, cursor=cursor, totals=totals)

    def _position(self) -> tuple[str | None, int | None]:
        """Return the newest time of change, as ISO text, and the highest id that the table holds."""
        newest = highest = None
        if isinstance(self.id.type, sa.Integer):
            highest = self.database.value(sa.select(sa.func.max(self.id)).select_from(self.table))
        column = self.updated_at
        if column is not None and not isinstance(column.type, sa.Numeric | sa.Integer):
            limit = (datetime.now(UTC) + _AHEAD).replace(tzinfo=None)
            text = limit.date().isoformat() if self.has_text_times else limit.isoformat(" ", "seconds")
            upto: sa.ColumnElement[Any] = sa.literal_column(text_literal(text))
            # As the driver gives it: SQLAlchemy reads SQLite's texts in its own form of them only.
            largest = sa.type_coerce(sa.func.max(column), sa.types.NullType())
            newest = self.database.value(sa.select(largest).where(column <= upto))
        return None if newest is None else str(newest), highest if isinstance(highest, int) else None

    def _totals(self, gone: int) -> Totals:
        """Return how many rows the table has, in the same state of it as all that is read, and what orders come to."""
        mapped = self.spec.column_named("total_amount") if self.task.entity == "orders" else ""
        column = self.table.c.get(mapped) if mapped else None
        has_amount = column is not None and isinstance(column.type, sa.Numeric)
        # As the driver gives it: SQLite has no decimals.
        amount = sa.type_coerce(sa.func.sum(column), sa.types.NullType()) if has_amount else sa.null()
        query = sa.select(sa.func.count(), amount).select_from(self.table)
        rows, total = self.database.connection.execute(query).one()
        reported = {"records": float(rows), "gone": float(gone)} | ({"amount": float(total or 0)} if has_amount else {})
        return Totals(reported, f"table {self.spec.table}")

    def _since_cursor(self) -> sa.ColumnElement[bool] | None:
        """Return the condition that rows since the cursor meet, None where only the whole table will do."""
        bound = _bound(self.task.state.cursor.get("updated_at"), self.source.overlap_minutes, self.has_text_times)
        column, highest = self.updated_at, self.task.state.cursor.get("id")
        if column is None or bound is None:
            return None
        recent = column >= sa.literal_column(text_literal(bound))
        return recent if highest is None else sa.or_(recent, self.id > highest)

    def _read(self, condition: sa.ColumnElement[bool] | None, number: int) -> Path:
        self.task.progress(f"{self.task.entity}: reading rows")
        query = sa.select(*self.table.columns).order_by(self.id)
        target = self.task.scratch / f"read-{number}.parquet"
        query = query if condition is None else query.where(condition)
        self.database.read(query, self.task.next_document, target, self.task.connection)
        return target

    def _read_ids(self) -> Path:
        self.task.progress(f"{self.task.entity}: comparing ids")
        target = self.task.scratch / "ids.parquet"
        self.database.read(sa.select(self.id), self.task.next_document, target, self.task.connection)
        return target

    def _check_ids(self, ids: Path) -> None:
        name = quoted(self.spec.id)
        rows, distinct = self._fetch(f"select count(*), count(distinct {name}) from {_parquet(ids)}")[0]
        if rows != distinct:
            raise SourceError(
                f"Table {self.spec.table!r} in {self.database.place} has {rows:,} rows and {distinct:,} different"
                f" values of {self.spec.id!r}; expected a value of its own in each row. Name the table's key in 'id' of"
                f" {self.task.entity}."
            )

    def _compared(self, ids: Path, read: Path) -> tuple[list[Any], int]:
        """Return the ids of the table that are neither in the lake nor among those read, and how many are gone."""
        name = quoted(self.spec.id)
        found = self._fetch(
            f"select i.{name}, count(*) from {_parquet(ids)} i"
            f" full join (select distinct {name} from {_parquet(*self.task.state.parts)}) k on k.{name} = i.{name}"
            f" where i.{name} is null or (k.{name} is null and i.{name} not in (select {name} from {_parquet(read)}))"
            " group by 1 order by 1"
        )
        kind = int if isinstance(self.id.type, sa.Integer) else str
        return [kind(value) for value, _ in found if value is not None], sum(n for value, n in found if value is None)

    def _part(self, read: list[Path]) -> tuple[Path, int]:
        """Return the part to hand over and its number of rows: what was read, but for what the lake says already."""
        part = self.task.scratch / "part-0000.parquet"
        if not self.task.state.parts:
            read[0].replace(part)
            return part, pq.read_metadata(part).num_rows
        name, columns = quoted(self.spec.id), [c.name for c in self.table.columns]
        before = [c for c in columns if c in self.task.state.types]
        differs = [f"f.{quoted(c)} is distinct from k.{quoted(c)}" for c in before]
        if self.source.schema_changes != "discard":
            differs += [f"f.{quoted(c)} is not null" for c in columns if c not in before]
        self.task.connection.execute(
            f"""copy (
                with fresh as (select * from {_parquet(*read)}),
                known as (
                    select {quoted_list(before)} from {_parquet(*self.task.state.parts)}
                    where {name} in (select {name} from fresh)
                    qualify row_number() over (partition by {name} order by _file desc) = 1
                )
                select {", ".join(f"f.{quoted(c)}" for c in columns)},
                    {text_literal(self.task.next_document)} as _file,
                    row_number() over (order by f._row, f.{name}) - 1 as _row
                from fresh f
                left join known k on k.{name} = f.{name}
                where k.{name} is null or {" or ".join(differs)}
                order by _row
            ) to {text_literal(str(part))} (format parquet, compression zstd)"""
        )
        return part, pq.read_metadata(part).num_rows

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return self.task.connection.execute(sql).fetchall()


def _bound(newest: str | None, minutes: int, as_text: bool) -> str | None:
    """Return the time from which rows are read again, None where the newest is no time.

    Texts of a day compare alike in every ISO form only by their dates, so of them the whole day is read.
    """
    try:
        moment = datetime.fromisoformat(newest or "") - timedelta(minutes=minutes)
        if as_text and moment.utcoffset():
            moment -= _ZONES_APART
    except (ValueError, OverflowError):
        return None
    return moment.date().isoformat() if as_text else str(moment)


def _parquet(*paths: Path | str) -> str:
    """Return Parquet files as a table of a DuckDB query, by the union of their columns; text is escaped already."""
    listed = ", ".join(text_literal(p if isinstance(p, str) else glob.escape(str(p))) for p in paths)
    return f"read_parquet([{listed}], union_by_name = true)"
