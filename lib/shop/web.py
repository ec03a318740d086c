"""The web shop's database: orders, their items and payments, as an application keeps them up to date in place.

A SQLite file `folder/web/shop.db`, or a PostgreSQL database where a URL names one. Row ids follow the time of placing,
yet a few orders commit late: hours or weeks after others with higher ids and later `updated_at`. The last orders of the
old system were migrated into it. What it holds on a day follows from the shop and the day alone.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from lib.base.errors import ConfigError, in_one_line
from lib.base.hashing import fingerprint
from lib.base.postgres import connection_arguments
from lib.base.secrets import mask
from lib.shop import history
from lib.shop.chance import stream
from lib.shop.channels import HISTORY, WEB
from lib.shop.files import tally
from lib.shop.history import ENTITIES, MIGRATED_DAYS, instants, words
from lib.shop.life import ShopLife
from lib.shop.orders import Days, Ints
from lib.shop.payments import REFUNDED
from lib.shop.rhythm import Seconds, local_day
from lib.shop.spoiled_orders import spoiled_orders
from lib.shop.spoils import Spoils
from lib.shop.systems import Holdings, ShopFacts

PLACE, FILE = "web", "shop.db"
URL_VARIABLE = "WEBSHOP_URL"
# Share of orders that commit late, and by how many seconds: every length from hours to weeks is as likely.
LATE, SOONEST, LATEST = 0.003, 2 * 3600, 45 * 86_400
# Share of orders that get their row id before or after others placed at the time, and by how many seconds.
OUT_OF_LINE, LONGEST_WAIT = 0.05, 1_200
# Money goes back some time after the goods came back.
REFUND_AFTER = (3_600, 3 * 86_400)
STATUSES = ("placed", "shipped", "returned", "refunded", "cancelled")
PLACED, SHIPPED, RETURNED, MONEY_BACK, CANCELLED = range(5)
NEVER = np.iinfo(np.int16).max
# Rows handed to the database at a time.
BATCH_ROWS = 50_000

_METADATA = sa.MetaData()


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    changed = sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, index=True)
    return sa.Table(name, _METADATA, sa.Column("id", sa.BigInteger, primary_key=True), *columns, changed)


def _money(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric(18, 2), nullable=False)


TABLES = {
    "orders": _table(
        "orders",
        sa.Column("order_id", sa.Text, nullable=False, unique=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("campaign", sa.Text),
        sa.Column("currency", sa.Text, nullable=False),
        *map(_money, ("discount_amount", "shipping_amount", "tax_amount", "total_amount")),
        sa.Column("shipped_at", sa.DateTime(timezone=True)),
    ),
    "order_items": _table(
        "order_items",
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("line_number", sa.Integer, nullable=False),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        *map(_money, ("unit_price", "discount_amount")),
    ),
    "payments": _table(
        "payments",
        sa.Column("payment_id", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        _money("amount"),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
    ),
}
#: States that the tables are a simulated shop's, whose, and up to which day: a real shop's are never written to.
SIMULATED = sa.Table(
    "simulated_shop",
    _METADATA,
    sa.Column("shop", sa.Text, primary_key=True),
    sa.Column("reached", sa.Integer, nullable=False),
)


@dataclass(frozen=True)
class Rows:
    """An entity's rows: place in the `ShopLife`, row id, the day from which each is seen, and days of later changes."""

    row: Ints
    id: Ints
    seen: Ints
    changes: tuple[Ints, ...] = ()

    def due(self, after: int, through: int) -> NDArray[np.bool_]:
        """Return which rows are there on day `through`, and are otherwise or not there on day `after`."""
        new = self.seen > after
        for day in self.changes:
            new |= (day > after) & (day <= through)
        return (self.seen <= through) & new


@dataclass(frozen=True)
class WebShop:
    """What happens in the web shop: each entity's rows, by order the refund's instant (0 for none), what is spoiled."""

    rows: dict[str, Rows]
    refunded_at: Seconds
    spoils: dict[str, Spoils]


def write(
    life: ShopLife,
    folder: Path,
    shop: ShopFacts,
    after: int,
    through: int,
    progress: Callable[[str], None],
    url: str = "",
) -> Holdings:
    """Bring the web shop's database to its state at day `through`; see `lib.shop.systems.Write`.

    Raises ConfigError where the database at `url` cannot be reached or holds tables that are no simulated shop's.
    """
    web_shop = live(life, shop)

    def states(entity: str, since: int) -> Iterator[pa.Table]:
        """Yield what is new of an entity, in order of row ids."""
        rows = web_shop.rows[entity]
        due = np.flatnonzero(rows.due(since, through))
        due = due[np.argsort(rows.id[due])]
        for start in range(0, len(due), BATCH_ROWS):
            progress(f"web: {entity}, {start:,} of {len(due):,} rows")
            some = due[start : start + BATCH_ROWS]
            yield state(life, shop, web_shop, entity, some, through)

    place = folder / PLACE
    size = shop.size
    # Spoiled otherwise it would be another shop, and so it would with other columns.
    defects = shop.defects.model_dump() if shop.defects.enabled else {}
    kind = fingerprint([defects, [list(table.columns.keys()) for table in TABLES.values()]])
    identity = (
        f"{size.orders} orders from {size.first_day}, seed {shop.seed}, {shop.currency}, {shop.time_zone}, kind {kind}"
    )
    if url:
        _to_postgres(url, identity, after, through, states)
    else:
        place.mkdir(parents=True, exist_ok=True)
        _to_sqlite(place, identity, after, through, states)
    there = tally(place) if not url else None
    seen = {entity: rows.row[rows.seen <= through] for entity, rows in web_shop.rows.items()}
    days = life.orders.placed.day[seen["orders"]]
    first, last = (shop.date(int(d)).isoformat() for d in (days.min(), days.max())) if len(days) else (None, None)
    counts = {entity: len(rows) for entity, rows in seen.items()}
    recorded = [
        web_shop.spoils[entity].ledger_rows(rows.row[rows.due(after, through)] * 2, through)
        for entity, rows in web_shop.rows.items()
    ]
    files, size_of_files = (there.files, there.bytes) if there else (0, 0)
    return Holdings(
        counts, first, last, files, size_of_files, pa.concat_tables(recorded) if shop.defects.enabled else None
    )


# What is there on a day


def live(life: ShopLife, shop: ShopFacts) -> WebShop:
    """Return all that ever happens in the web shop, as far as its life is simulated."""
    orders, placed, timepiece = life.orders, life.orders.placed, life.timepiece
    own = np.flatnonzero(orders.channel == WEB)
    migrated = np.flatnonzero((orders.channel == HISTORY) & (placed.day >= shop.live_from - MIGRATED_DAYS))
    chance = _chances(shop.seed, placed.day[own])

    commits = SOONEST * (LATEST / SOONEST) ** chance[:, 1]
    late = placed.at[own] + np.where(chance[:, 0] < LATE, commits, 0).astype(np.int64)
    jitter = np.where(chance[:, 2] < OUT_OF_LINE, chance[:, 2] / OUT_OF_LINE * LONGEST_WAIT, 0)
    own_ids = np.empty(len(own), dtype=np.int64)
    # Who comes out of line stays within the day: a day's ids never depend on what comes after it.
    own_ids[np.lexsort((placed.at[own] + jitter, placed.day[own]))] = np.arange(len(own)) + len(migrated) + 1

    wait = REFUND_AFTER[0] + chance[:, 3] * (REFUND_AFTER[1] - REFUND_AFTER[0])
    refunded_at = np.zeros(len(placed.at), dtype=np.int64)
    returned = orders.returned_at[own] > 0
    refunded_at[own[returned]] = (orders.returned_at[own] + wait.astype(np.int64))[returned]

    order_id = np.zeros(len(placed.at), dtype=np.int64)
    order_id[migrated], order_id[own] = np.arange(len(migrated)) + 1, own_ids
    seen = np.full(len(placed.at), NEVER, dtype=np.int64)
    seen[migrated], seen[own] = shop.live_from, local_day(timepiece, late)
    here = np.concatenate([migrated, own])
    wholly = orders.is_wholly_returned & (orders.channel == WEB)

    def on(at: Seconds, where: NDArray[np.bool_]) -> Ints:
        return np.where(where, local_day(timepiece, at), NEVER)[here].astype(np.int64)

    is_own = orders.channel == WEB
    changes = (
        on(orders.shipped_at, is_own & (orders.shipped_at > 0)),
        on(orders.cancelled_at, is_own & orders.is_cancelled),
        on(orders.returned_at, wholly),
        on(refunded_at, wholly),
    )
    lines, payments = life.lines, life.payments
    # Where everything came back the status states it, and nothing is recorded twice.
    kept = ~((lines.quantity < 0) & wholly[lines.order - 1])
    paid_on = local_day(timepiece, _paid_at(life, refunded_at))
    rows = {
        "orders": Rows(here, order_id[here], seen[here], changes),
        "order_items": _parts(lines.order, lines.line, lines.day, kept, order_id, seen, len(migrated)),
        "payments": _parts(payments.order, payments.part, paid_on, paid_on >= 0, order_id, seen, len(migrated)),
    }
    return WebShop(rows, refunded_at, spoiled_orders(life, shop, "web", own))


def _chances(seed: int, day: Days) -> NDArray[np.float64]:
    """Return four draws from 0 to 1 for each order, of its day's own stream; orders are sorted by time."""
    days, count = np.unique(day, return_counts=True)
    draws = [stream(seed, int(d), "web shop").random((n, 4)) for d, n in zip(days, count, strict=True)]
    return np.concatenate(draws) if draws else np.empty((0, 4))


def _paid_at(life: ShopLife, refunded_at: Seconds) -> Seconds:
    """Return when each payment is made: what is paid back for returned goods, when the web shop gets to it."""
    order = life.payments.order - 1
    is_refund = (life.payments.status == REFUNDED) & (refunded_at[order] > 0)
    return np.where(is_refund, refunded_at[order], life.payments.at)


def _parts(
    order: Ints, number: Ints, day: Days, kept: NDArray[np.bool_], order_id: Ints, seen: Ints, migrated: int
) -> Rows:
    """Return the rows of what orders consist of; ids follow the day of each row, those migrated come first."""
    row = np.flatnonzero(kept & (order_id[order - 1] > 0))
    owner = order_id[order[row] - 1]
    own_day = np.where(owner <= migrated, 0, day[row]).astype(np.int64)
    ids = np.empty(len(row), dtype=np.int64)
    ids[np.lexsort((number[row], owner, own_day))] = np.arange(len(row)) + 1
    return Rows(row, ids, np.maximum(own_day, seen[order[row] - 1]))


def state(life: ShopLife, shop: ShopFacts, web_shop: WebShop, entity: str, some: Ints, through: int) -> pa.Table:
    """Return rows of an entity, by their positions in its `Rows`, as they are at the end of day `through`."""
    rows = web_shop.rows[entity]
    row = rows.row[some]
    table = history.COLUMNS_OF[entity](life, shop, row)
    if entity == "payments":
        paid_at = instants(_paid_at(life, web_shop.refunded_at)[row])
        table = table.set_column(table.schema.get_field_index("paid_at"), "paid_at", paid_at)
        table = table.set_column(table.schema.get_field_index("updated_at"), "updated_at", paid_at)
    if entity == "orders":
        orders = life.orders
        status, updated = np.full(len(row), PLACED), orders.placed.at[row]
        shipped = np.where(rows.changes[0][some] <= through, orders.shipped_at[row], 0)
        steps = (SHIPPED, CANCELLED, RETURNED, MONEY_BACK)
        instants_of = (orders.shipped_at, orders.cancelled_at, orders.returned_at, web_shop.refunded_at)
        for step, at, day in zip(steps, instants_of, rows.changes, strict=True):
            reached = day[some] <= through
            status, updated = np.where(reached, step, status), np.where(reached, at[row], updated)
        own = pa.array(orders.channel[row] == WEB)
        present = {
            "status": words(STATUSES, status),
            "shipped_at": history.shipped(shipped),
            "updated_at": instants(updated),
        }
        for name, values in present.items():
            values = pc.if_else(own, values, table[name])
            table = table.set_column(table.schema.get_field_index(name), name, values)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return pa.table({"id": pa.array(rows.id[some])} | web_shop.spoils[entity].laid_over(columns, row * 2, through))


# How it gets there


def _to_sqlite(
    place: Path, identity: str, after: int, through: int, states: Callable[[str, int], Iterator[pa.Table]]
) -> None:
    """Bring the file to day `through`; one that is not as it should be is made anew and put in its place."""
    path, part = place / FILE, place / f".{FILE}.part"
    part.unlink(missing_ok=True)
    reached = _reached_in_file(path, identity) if after >= 0 else -1
    anew = reached < max(after, 0)
    if not anew and reached >= through:
        return
    target = part if anew else path
    engine = sa.create_engine(f"sqlite:///{target}", poolclass=NullPool)
    with _explained(str(path)), engine.connect() as connection:
        if anew:
            # Nobody reads it before it is whole, and a rest of it is thrown away.
            connection.exec_driver_sql("pragma journal_mode = off")
            connection.exec_driver_sql("pragma synchronous = off")
            connection.commit()
            for table in _METADATA.sorted_tables:
                connection.execute(sa.schema.CreateTable(table))
        for entity in ENTITIES:
            for table in states(entity, -1 if anew else after):
                _insert(connection, TABLES[entity], table)
        if anew:
            for table in _METADATA.sorted_tables:
                for index in sorted(table.indexes, key=lambda i: str(i.name)):
                    connection.execute(sa.schema.CreateIndex(index))
        connection.execute(SIMULATED.delete())
        connection.execute(SIMULATED.insert(), {"shop": identity, "reached": through})
        connection.commit()
    if anew:
        for left_over in place.glob(f"{FILE}-*"):
            left_over.unlink()
        part.replace(path)


def _reached_in_file(path: Path, identity: str) -> int:
    """Return the day that a SQLite file has reached, -1 where it is none of this shop's."""
    if not path.is_file():
        return -1
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return _reached(connection, identity)
    except SQLAlchemyError:
        return -1


def _reached(connection: sa.Connection, identity: str) -> int:
    found = connection.execute(sa.select(SIMULATED.c.reached).where(SIMULATED.c.shop == identity)).scalar()
    return -1 if found is None else int(found)


def _insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert rows, or replace those with the same ids: in SQLite's own forms of times and amounts."""
    columns = []
    for column in rows.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us")).cast(pa.string())
        elif pa.types.is_decimal(column.type):
            # The column's type makes the nearest number of it; from a decimal Arrow does not.
            column = column.cast(pa.string())
        columns.append(column.to_numpy().tolist())
    names = ", ".join(rows.column_names)
    marks = ", ".join("?" * len(columns))
    connection.exec_driver_sql(
        f"insert or replace into {table.name} ({names}) values ({marks})", list(zip(*columns, strict=True))
    )


def _to_postgres(
    url: str, identity: str, after: int, through: int, states: Callable[[str, int], Iterator[pa.Table]]
) -> None:
    """Bring a PostgreSQL database to day `through`, in one transaction."""
    arguments = connection_arguments(url, URL_VARIABLE)
    at = f"{arguments.get('host', 'localhost')}/{arguments['dbname']}"
    engine = sa.create_engine(
        "postgresql+psycopg2://", connect_args={"connect_timeout": 10} | arguments, poolclass=NullPool
    )
    with _explained(f"{at} ({URL_VARIABLE})"), engine.begin() as connection:
        there = set(sa.inspect(connection).get_table_names())
        strangers = sorted(there & set(TABLES))
        if strangers and SIMULATED.name not in there:
            raise ConfigError(
                f"The database {at} has a table {strangers[0]!r} that is no simulated shop's, and would be overwritten."
                f" Name an empty database in {URL_VARIABLE}, or give this one with --sources to read it."
            )
        _METADATA.create_all(connection)
        owner = connection.execute(sa.select(SIMULATED.c.shop)).scalar()
        if owner not in (None, identity):
            raise ConfigError(
                f"The database {at} holds another simulated shop ({owner}), and this one is {identity}. Name another"
                f" database in {URL_VARIABLE}, or drop that shop's tables: {', '.join(_METADATA.tables)}."
            )
        reached = _reached(connection, identity) if after >= 0 else -1
        anew = reached < max(after, 0)
        if not anew and reached >= through:
            return
        if anew:
            connection.exec_driver_sql(f"truncate {', '.join(table.name for table in _METADATA.sorted_tables)}")
        cursor = connection.connection.cursor()
        for entity in ENTITIES:
            name = entity if anew else f"new_{entity}"
            if not anew:
                cursor.execute(f"create temp table {name} (like {entity}) on commit drop")
            columns = [column.name for column in TABLES[entity].columns]
            for table in states(entity, -1 if anew else after):
                text = io.BytesIO()
                pyarrow.csv.write_csv(table.select(columns), text, pyarrow.csv.WriteOptions(include_header=False))
                text.seek(0)
                cursor.copy_expert(f"copy {name} ({', '.join(columns)}) from stdin (format csv)", text)
            if not anew:
                changed = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
                cursor.execute(
                    f"insert into {entity} ({', '.join(columns)}) select {', '.join(columns)} from {name}"
                    f" on conflict (id) do update set {changed}"
                )
        connection.execute(SIMULATED.delete())
        connection.execute(SIMULATED.insert(), {"shop": identity, "reached": through})


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Raise ConfigError with one clear message for what a database refuses."""
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        found = in_one_line(getattr(error, "orig", None) or error)
        raise ConfigError(
            f"The web shop's database {mask(place)} cannot be written ({found}). Check that it is there, that this user"
            " may create tables in it, and that nobody else holds it locked; then run again."
        ) from None
