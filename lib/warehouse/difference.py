"""Bringing one PostgreSQL table to the content of another by the rows that differ, within a transaction."""

from functools import cache
from typing import Any

import yaml
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from lib.base.errors import WarehouseError
from lib.base.files import PROJECT
from lib.base.hashing import fingerprint
from lib.base.quoting import quoted, quoted_list
from lib.warehouse.server import exists, fetch_value


def synchronize(cursor: Cursor, made: str, published: str) -> None:
    """Bring the published schema.table to the content of the one just made, with its keys and indexes.

    A table that is not published yet is moved there whole, and so is one whose columns have changed. `made` may be gone
    afterwards.
    """
    columns = columns_of(cursor, made)
    there = exists(cursor, published)
    if there and columns_of(cursor, published) == columns:
        if _content(cursor, made, columns) != _content(cursor, published, columns):
            try:
                _change(cursor, made, published, columns)
            except (errors.UniqueViolation, errors.NotNullViolation) as error:
                raise _broken_key(published, error) from None
            cursor.execute(f"analyze {published}")
    else:
        if there:
            _remove(cursor, published)
        cursor.execute(f"alter table {made} set schema {published.split('.')[0]}")
    _index(cursor, published)


def columns_of(cursor: Cursor, table: str) -> dict[str, tuple[str, int]]:
    """Return each column's SQL type and collation, by name."""
    cursor.execute(
        "select attname, format_type(atttypid, atttypmod), attcollation::bigint from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        (table,),
    )
    return {name: (kind, collation) for name, kind, collation in cursor.fetchall()}


def _content(cursor: Cursor, table: str, columns: dict[str, Any]) -> tuple[Any, ...]:
    """Return a table's number of rows and the sum of their hashes."""
    cursor.execute(f"select count(*), sum(hash_record_extended({_row('t', columns)}, 0)) from {table} t")
    found: tuple[Any, ...] = cursor.fetchone() or ()
    return found


def _change(cursor: Cursor, made: str, published: str, columns: dict[str, Any]) -> None:
    """Remove the rows that only the published table has and add those that only the made one has."""
    listed = quoted_list(columns)
    p, m = _row("p", columns), _row("m", columns)
    same = f"hash_record_extended({p}, 0) = hash_record_extended({m}, 0) and {p} is not distinct from {m}"
    cursor.execute(
        f"create temporary table _gone on commit drop as select p.ctid as place from {published} p"
        f" where not exists (select 1 from {made} m where {same})"
    )
    cursor.execute(
        f"create temporary table _new on commit drop as select {listed} from {made} m"
        f" where not exists (select 1 from {published} p where {same})"
    )
    cursor.execute(f"delete from {published} p using _gone where p.ctid = _gone.place")
    cursor.execute(f"insert into {published} ({listed}) select {listed} from _new")
    cursor.execute("drop table _gone, _new")
    if _content(cursor, made, columns) != _content(cursor, published, columns):
        # Equal rows in one table: how many of them there are is beyond a comparison row by row.
        cursor.execute(f"delete from {published}")
        cursor.execute(f"insert into {published} ({listed}) select {listed} from {made}")


def _row(alias: str, columns: dict[str, Any]) -> str:
    return "row(" + ", ".join(f"{alias}.{quoted(name)}" for name in columns) + ")"


def _remove(cursor: Cursor, table: str) -> None:
    """Drop a published table whose columns have changed; raise WarehouseError where somebody's view needs it."""
    try:
        cursor.execute(f"drop table {table}")
    except errors.DependentObjectsStillExist as error:
        needing = (error.diag.message_detail or "").replace("\n", "; ")
        raise WarehouseError(
            f"The columns of {table} have changed, and it cannot be replaced: {needing}. Drop what depends on it, run"
            " again, and create it anew."
        ) from None


def _index(cursor: Cursor, table: str) -> None:
    """Create the key and the indexes that the table's model declares, where they are missing."""
    schema, name = table.split(".")
    if schema in ("stage", "quarantine"):
        return  # named as the clean tables are, and without keys
    key, indexes = declared().get(name, ((), ()))
    sql = "select count(*) from pg_constraint where conrelid = %s::regclass and contype = 'p'"
    if key and not fetch_value(cursor, sql, (table,)):
        try:
            cursor.execute(f"alter table {table} add primary key ({quoted_list(key)})")
        except (errors.UniqueViolation, errors.NotNullViolation) as error:
            raise _broken_key(table, error) from None
    for columns in indexes:
        index = "_".join((name, *columns, "idx"))
        if len(index) > 63:  # what PostgreSQL keeps of a name
            index = f"{name[:40]}_{fingerprint(columns)}_idx"
        if not exists(cursor, f"{schema}.{index}"):
            cursor.execute(f"create index {index} on {table} ({quoted_list(columns)})")


def _broken_key(table: str, error: errors.UniqueViolation | errors.NotNullViolation) -> WarehouseError:
    """Return the error of a table whose key is not unique or not filled; checks have said so before."""
    found = " ".join((error.diag.message_detail or str(error)).split()).rstrip(".")
    return WarehouseError(
        f"The key of {table} does not hold: {found}. PostgreSQL publishes no such table, with --no-gate neither;"
        " nothing that is published has changed. 05_quality shows the rows: correct them where they come from and run"
        " again."
    )


@cache
def declared() -> dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]]:
    """Return each model's key and further indexes: `config.meta.key` and `.indexes` in `sql/models/**/*.yml`."""
    found = {}
    for path in sorted((PROJECT / "sql" / "models").rglob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models") or []:
            meta = (model.get("config") or {}).get("meta") or {}
            found[model["name"]] = tuple(meta.get("key", ())), tuple(tuple(i) for i in meta.get("indexes", ()))
    return found
