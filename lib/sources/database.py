"""Database sources: tables of a SQLite file or a PostgreSQL server, what is new in them and nothing twice.

All entities of a source are read in one transaction, so that they are one state of the database. Rows are found by
their time of change, going back some minutes, and by their id; then the table's ids are compared with those in the
lake, and what was missed (it committed late, or out of order) is read, however old. What was read again and is the
same as in the lake is not handed over. A query is read whole each time. Where rows have no id, all that is read is one
document that replaces the one before. Any other database that SQLAlchemy has a driver for is read as SQLite is.
"""

import contextlib
import functools
import glob
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import pyarrow.parquet as pq
import sqlalchemy as sa
import sqlglot
from pydantic import BeforeValidator, Field, model_validator
from sqlalchemy.exc import NoSuchTableError
from sqlglot import exp

from lib.base.errors import SourceError, did_you_mean
from lib.base.hashing import fingerprint, sha256_of
from lib.base.quoting import quoted, quoted_list, text_literal
from lib.config import EntitySource, Lookup, Source, Use
from lib.sources.delivery import Delivery, Extractor, SourceFile, Task, Totals
from lib.sources.listing import some
from lib.sources.nearest import did_you_mean_column
from lib.sources.tables import Database, open_database

Ids = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda value: ((value,) if value else ()) if isinstance(value, str) else value),
]


class TableEntity(EntitySource):
    """The table or view that holds an entity, as name or schema.name, or a query of it; `id` is unique in it.

    The id is one column or several; where it is not given, it is the table's key, and where it is empty, or there is no
    key, rows have none. `updated_at` is the time of a row's last change; where it is empty, all is read each time.
    """

    table: str = ""
    query: str = ""
    id: Ids | None = None
    updated_at: str = "updated_at"

    table_places: ClassVar[tuple[str, ...]] = ("table", "query")

    @model_validator(mode="after")
    def _one_place(self) -> "TableEntity":
        if bool(self.table) == bool(self.query):
            raise ValueError("give either 'table', the name of a table or view, or 'query', a select of your own")
        if self.query and "updated_at" in self.model_fields_set and self.updated_at:
            raise ValueError("a 'query' is read whole each time: leave 'updated_at' out")
        return self

    def as_here(self, lookup: Lookup) -> dict[str, Any]:
        # Read whole each time, so that what is gone from it is found no more.
        return {"id": ()}

    @property
    def reader(self) -> dict[str, Any]:
        # One column is written as it was before there could be several.
        own: Any = "id" if self.id is None else self.id[0] if len(self.id) == 1 else self.id
        options = {"table": self.table, "id": own, "updated_at": self.updated_at}
        return options | ({"query": self.query} if self.query else {})

    @property
    def place(self) -> str:
        """What is read, for messages."""
        return f"table {self.table!r}" if self.table else "the query"


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
    `gone`: in the lake, where they stay, and no longer in the table. Rows without an id are one document, which is
    handed over whole where anything in it changed.

    Raises SourceError where the table, one of its columns or the database is missing, and where ids are not unique.
    """
    spec: TableEntity = task.spec
    with database.explained(f"{task.entity} ({'table ' + spec.table if spec.table else 'the query'})"):
        table = _selected(database, spec) if spec.query else _described(database, task.entity, spec)
        ids = _ids(database, task, table)
        extract = _Extract(source, database, task, table, ids)
        return extract.deliver() if ids else extract.deliver_whole()


def _selected(database: Database, spec: TableEntity) -> sa.FromClause:
    """Return a query of the user's own as a table; raise SourceError where it is anything but one select."""
    text = spec.query.strip().rstrip(";")
    dialect = database.connection.dialect.name
    try:
        statements = [
            s for s in sqlglot.parse(text, read={"postgresql": "postgres", "mssql": "tsql"}.get(dialect, dialect)) if s
        ]
    except (sqlglot.ParseError, sqlglot.TokenError, ValueError) as error:
        raise SourceError(f"The query cannot be read: {' '.join(str(error).split())[:300]}. Correct 'query'.") from None
    changes = (exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query) or list(statements[0].find_all(*changes)):
        raise SourceError("The query is more than one select that only reads. Correct 'query' of this entity.")
    # A colon is no parameter here.
    query = sa.text(text.replace(":", "\\:"))
    probe: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(query.columns().subquery("q")).limit(0)
    names = list(database.connection.execute(probe).keys())
    # SQLite numbers them itself.
    twice = [name for name in names if names.count(name) > 1 or f"{name}:1" in names]
    if twice:
        raise SourceError(f"The query gives two columns the name {twice[0]!r}; name one of them otherwise (as ...).")
    return query.columns(*(sa.column(name) for name in names)).subquery("q")


def _described(database: Database, entity: str, spec: TableEntity) -> sa.FromClause:
    """Return the table with its columns; raise SourceError where there is none."""
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
    return sa.table(name, *(sa.column(c["name"], c["type"]) for c in columns), schema=schema or None)


def _ids(database: Database, task: Task, table: sa.FromClause) -> tuple[str, ...]:
    """Return the columns that tell rows apart; raise SourceError where a column that is named or mapped is missing."""
    entity, spec = task.entity, task.spec
    names = [column.name for column in table.columns]
    reserved = [n for n in names if n.lower() in ("_file", "_row")]
    where = f"{spec.place[0].upper()}{spec.place[1:]} in {database.place}"
    if reserved:
        raise SourceError(
            f"{where} has a column {reserved[0]!r}, a name the lake uses itself; give it another one in a 'query'."
        )
    ids = spec.id
    if ids is None and task.state.parts:
        # By what rows were told apart before, they are now.
        ids = tuple(task.state.cursor.get("ids", ("id",)))
    if ids is None:
        ids = _key_of(database, spec) or (("id",) if "id" in names else ())
    own = [("id", wanted) for wanted in ids]
    own += [("updated_at", spec.updated_at)] if spec.updated_at and spec.table and ids else []
    lacking = [("columns", use) for use in spec.missing(entity, names)]
    for key, wanted in [*((key, Use("", (name,))) for key, name in own), *lacking]:
        if not wanted.is_in(names):
            none = ", or set it to '' where rows have no time of change" if key == "updated_at" else ""
            expected = [name for use in spec.uses(entity) for name in use.names]
            hint = did_you_mean_column(wanted.names[0], names, wanted.ours, expected if wanted.ours else ())
            raise SourceError(
                f"{where} has no column {wanted} (for {entity}); found {some(names, 20)}.{hint}"
                f" Correct {key!r} of this entity{none}."
            )
    return ids


def _key_of(database: Database, spec: TableEntity) -> tuple[str, ...]:
    """Return the columns of a table's primary key, or else of a unique index whose columns have values in all rows."""
    if not spec.table:
        return ()
    schema, _, name = spec.table.rpartition(".")
    inspector = sa.inspect(database.connection)
    if primary := inspector.get_pk_constraint(name, schema or None).get("constrained_columns"):
        return tuple(primary)
    filled = {column["name"] for column in inspector.get_columns(name, schema or None) if not column["nullable"]}
    unique: list[Any] = [c["column_names"] for c in inspector.get_unique_constraints(name, schema or None)]
    unique += [i["column_names"] for i in inspector.get_indexes(name, schema or None) if i["unique"]]
    return next((tuple(map(str, names)) for names in unique if filled.issuperset(names)), ())


@dataclass(frozen=True)
class _Extract:
    """One extract of one table."""

    source: DatabaseSource
    database: Database
    task: Task
    table: sa.FromClause
    ids: tuple[str, ...]

    @property
    def spec(self) -> TableEntity:
        return cast(TableEntity, self.task.spec)

    @property
    def id_columns(self) -> list[sa.ColumnElement[Any]]:
        return [self.table.c[name] for name in self.ids]

    @property
    def whole_number(self) -> sa.ColumnElement[Any] | None:
        """The id, where it is one whole number."""
        first = self.id_columns[0]
        return first if len(self.ids) == 1 and isinstance(first.type, sa.Integer) else None

    @property
    def updated_at(self) -> sa.ColumnElement[Any] | None:
        return self.table.c[self.spec.updated_at] if self.spec.updated_at and self.spec.table else None

    def _id_of(self, alias: str) -> str:
        """Return the SQL of a row's id in Parquet, one text of all its columns; null where one has no value."""
        parts = [f"{alias}.{quoted(name)}" for name in self.ids]
        return parts[0] if len(parts) == 1 else f"({' || chr(31) || '.join(parts)})"

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
                read += [self._read(self._is_one_of(missed), 1)] if len(missed) * len(self.ids) <= _MANY else []
                # The ids of a view may not be found by their text: then nothing is left but to read all.
                if len(read) == 1 or pq.read_metadata(read[1]).num_rows != len(missed):
                    read = [self._read(None, 2)]
        part, rows = self._part(read)
        totals = self._totals(gone)
        if not rows:
            return Delivery(totals=totals)
        cursor = {"updated_at": newest or self.task.state.cursor.get("updated_at"), "id": highest, "gone": gone}
        cursor |= {"ids": list(self.ids)} if self.ids != ("id",) else {}
        file = SourceFile(self.task.next_document, sha256_of(part), part.stat().st_size, rows=rows)
        columns = tuple(c.name for c in self.table.columns)
        return Delivery(files=(file,), parts=(part,), columns=columns, cursor=cursor, totals=totals)

    def _position(self) -> tuple[str | None, int | None]:
        """Return the newest time of change, as ISO text, and the highest id that the table holds."""
        newest = highest = None
        if self.whole_number is not None:
            highest = self.database.value(sa.select(sa.func.max(self.whole_number)).select_from(self.table))
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
        return Totals(reported, f"table {self.spec.table}" if self.spec.table else "the query")

    def _since_cursor(self) -> sa.ColumnElement[bool] | None:
        """Return the condition that rows since the cursor meet, None where only the whole table will do."""
        bound = _bound(self.task.state.cursor.get("updated_at"), self.source.overlap_minutes, self.has_text_times)
        column, highest = self.updated_at, self.task.state.cursor.get("id")
        if column is None or bound is None:
            return None
        recent = column >= sa.literal_column(text_literal(bound))
        return recent if highest is None or self.whole_number is None else sa.or_(recent, self.whole_number > highest)

    def _is_one_of(self, ids: list[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
        if len(self.ids) == 1:
            return self.id_columns[0].in_([value for (value,) in ids])
        # The literals' types are the columns': as bound values of a type, texts of dates and decimals would be refused.

        def literal(value: int | str) -> Any:
            return value if isinstance(value, int) else sa.literal_column(text_literal(value))

        rows = [list(map(literal, values)) for values in ids]
        return sa.or_(*(sa.and_(*(c == v for c, v in zip(self.id_columns, row, strict=True))) for row in rows))

    def _read(self, condition: sa.ColumnElement[bool] | None, number: int) -> Path:
        self.task.progress(f"{self.task.entity}: reading rows")
        query = sa.select(*self.table.columns).order_by(*self.id_columns)
        target = self.task.scratch / f"read-{number}.parquet"
        query = query if condition is None else query.where(condition)
        self.database.read(query, self.task.next_document, target, self.task.connection)
        return target

    def _read_ids(self) -> Path:
        self.task.progress(f"{self.task.entity}: comparing ids")
        target = self.task.scratch / "ids.parquet"
        self.database.read(sa.select(*self.id_columns), self.task.next_document, target, self.task.connection)
        return target

    def _check_ids(self, ids: Path) -> None:
        rows, distinct = self._fetch(f"select count(*), count(distinct {self._id_of('i')}) from {_parquet(ids)} i")[0]
        if rows != distinct:
            where = f"{self.spec.place[0].upper()}{self.spec.place[1:]} in {self.database.place}"
            advice = (
                "Name all columns that tell rows apart, such as [order_id, line_number]; or set it to '' where rows"
                " have no key, so that all is read each time."
            )
            if key := _key_of(self.database, self.spec):
                advice = f"The table's key is {_listed(key)}."
            raise SourceError(
                f"{where} has {rows:,} rows and {distinct:,} different values of {_listed(self.ids)};"
                f" expected a value of its own in each row. Correct 'id' of {self.task.entity}. {advice}"
            )

    def _compared(self, ids: Path, read: Path) -> tuple[list[tuple[Any, ...]], int]:
        """Return the ids of the table that are neither in the lake nor among those read, and how many are gone."""
        own, known, fresh = self._id_of("i"), self._id_of("k"), self._id_of("f")
        values = ", ".join(f"any_value(i.{quoted(name)})" for name in self.ids)
        found = self._fetch(
            f"select {own} is null as is_gone, count(*), {values} from {_parquet(ids)} i"
            f" full join (select distinct {quoted_list(self.ids)} from {_parquet(*self.task.state.parts)}) k"
            f" on {known} = {own}"
            f" where {own} is null or ({known} is null and {own} not in (select {fresh} from {_parquet(read)} f))"
            f" group by {own} order by {own}"
        )
        kinds = [int if isinstance(column.type, sa.Integer) else str for column in self.id_columns]
        missed = [
            tuple(kind(value) for kind, value in zip(kinds, values, strict=True))
            for is_gone, _, *values in found
            if not is_gone
        ]
        return missed, sum(count for is_gone, count, *_ in found if is_gone)

    def deliver_whole(self) -> Delivery:
        """Hand over all rows as one document, under the name it always has, where anything differs from before."""
        self.task.progress(f"{self.task.entity}: reading rows")
        part = self.task.scratch / "part-0000.parquet"
        document = f"{self.task.entity}-whole"
        self.database.read(sa.select(*self.table.columns), document, part, self.task.connection)
        columns = [c.name for c in self.table.columns]
        # The same rows in another order are the same rows.
        rows, digest = self._fetch(
            f"select count(*), sum(hash({quoted_list(columns)})::hugeint) from {_parquet(part)}"
        )[0]
        sha256 = fingerprint([columns, rows, str(digest)])
        totals = self._totals(0)
        if not rows or self.task.state.files.get(document) == sha256:
            return Delivery(unchanged=(document,) if rows else (), totals=totals)
        file = SourceFile(document, sha256, part.stat().st_size, rows=rows)
        return Delivery(files=(file,), parts=(part,), columns=tuple(columns), cursor={"ids": []}, totals=totals)

    def _part(self, read: list[Path]) -> tuple[Path, int]:
        """Return the part to hand over and its number of rows: what was read, but for what the lake says already."""
        part = self.task.scratch / "part-0000.parquet"
        if not self.task.state.parts:
            read[0].replace(part)
            return part, pq.read_metadata(part).num_rows
        columns = [c.name for c in self.table.columns]
        fresh, known = self._id_of("f"), self._id_of("k")
        before = [c for c in columns if c in self.task.state.types]
        differs = [f"f.{quoted(c)} is distinct from k.{quoted(c)}" for c in before]
        if self.source.schema_changes != "discard":
            differs += [f"f.{quoted(c)} is not null" for c in columns if c not in before]
        self.task.connection.execute(
            f"""copy (
                with fresh as (select * from {_parquet(*read)}),
                known as (
                    select {quoted_list(before)} from {_parquet(*self.task.state.parts)} k
                    where {known} in (select {fresh} from fresh f)
                    qualify row_number() over (partition by {known} order by _file desc) = 1
                )
                select {", ".join(f"f.{quoted(c)}" for c in columns)},
                    {text_literal(self.task.next_document)} as _file,
                    row_number() over (order by f._row, {fresh}) - 1 as _row
                from fresh f
                left join known k on {known} = {fresh}
                where {known} is null or {" or ".join(differs)}
                order by _row
            ) to {text_literal(str(part))} (format parquet, compression zstd)"""
        )
        return part, pq.read_metadata(part).num_rows

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return self.task.connection.execute(sql).fetchall()


def _listed(names: Sequence[str]) -> str:
    """Return the columns of an id as a sources file names them."""
    return repr(names[0]) if len(names) == 1 else f"[{', '.join(names)}]"


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
