"""What identifies a typed row: ids that follow from its content, its key, and when its document stated its order.

The SQL reads the rows `v` of a batch, whose columns are the entity's, `_file` and `_row`, and `d`, the same rows with
the ids that they lacked and their place, `_source_file` and `_source_row`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from lib.cells.formats import Zones
from lib.cells.mapping import Cell
from lib.cells.reading import read
from lib.config import EntitySource
from lib.entities import Entity

#: The ids without which rows are told apart by their content.
_OWN_IDS = {"order_items": "line_number", "order_lines": "line_number", "payments": "payment_id", "events": "event_id"}

#: Times from which follows when a document was made.
_TIMES = ("ordered_at", "shipped_at", "cancelled_at", "updated_at")


@dataclass(frozen=True)
class Identity:
    """How the rows of a batch are identified: whether any lacks an id of its own, and the SQL of `_stated_at`.

    `joins` is what that SQL reads beside the rows `v`.
    """

    has_unnumbered: bool
    stated_at: str = "cast(null as timestamp)"
    joins: str = ""


def identity_of(
    connection: duckdb.DuckDBPyConnection,
    entity: Entity,
    own: Sequence[Cell],
    spec: EntitySource,
    zones: Zones,
    latest: str,
    rows: str,
) -> Identity:
    """Return how the raw rows `r`, given as a `from` clause, are identified; look into the columns that decide it."""
    cells = {c.name: c for c in own}

    def values(names: Iterable[str]) -> str:
        return read([cells[name] for name in names], spec, zones, latest, rows, ["r._file"])

    own_id = _OWN_IDS.get(entity.name, "")
    has_unnumbered = bool(own_id) and _is_found(connection, f"({values([own_id])}) where value_{own_id} is null")
    is_numbered = bool(own_id) and _is_mapped(cells[own_id])
    if not spec.restates(entity.name, is_numbered):
        return Identity(has_unnumbered)
    times = [f"value_{name}" for name in _TIMES if name in cells and _is_mapped(cells[name])]
    states_changes = "value_updated_at" in times
    if entity.name == "orders" and states_changes:
        # The newest version of an order is told by its own time of change.
        return Identity(has_unnumbered)
    # Where a document states no time at all, the documents' names decide.
    newest = f"max(greatest({', '.join(times)}))" if times else "null"
    connection.execute(f"""
        create or replace temp table _documents as
        select _file as name, coalesce({newest}, timestamp '1970-01-01') as stated_at
        from ({values([n for n in _TIMES if f"value_{n}" in times] or ["order_id"])}) group by _file
    """)
    stated_at, joins = "_documents.stated_at", "join _documents on _documents.name = v._file"
    if states_changes:
        connection.execute(f"""
            create or replace temp table _statements as
            select _file as name, value_order_id as order_id, max(value_updated_at) as stated_at
            from ({values(["order_id", "updated_at"])})
            where value_order_id is not null and value_updated_at is not null
            group by all
        """)
        stated_at = f"coalesce(_statements.stated_at, {stated_at})"
        joins += " left join _statements on _statements.name = v._file and _statements.order_id = v.order_id"
    return Identity(has_unnumbered, stated_at, joins)


def _is_mapped(cell: Cell) -> bool:
    """Whether a source states a column at all."""
    return bool(cell.source_column) or not cell.raw.startswith("cast(null as ")


def _is_found(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return connection.execute(f"select 1 from {rows} limit 1").fetchone() is not None


def derived(entity: Entity) -> dict[str, str]:
    """Return the SQL, over `v`, of ids that follow from other columns where a source states none."""
    # A line without an article number is one of an unknown product, told apart by its name.
    product_id = "coalesce(v.product_id, 'unknown: ' || v.product_name, 'unknown')"
    if entity.name == "order_items":
        return {"product_id": product_id}
    if entity.name == "order_lines":
        order_id = _id_of("coalesce(v.customer_id, '')", "cast(v.ordered_at as varchar)")
        return {"order_id": f"coalesce(v.order_id, {order_id})", "product_id": product_id}
    return {}


def identified(entity: Entity, spec: EntitySource, identity: Identity, rows: str) -> str:
    """Return the query that gives the rows `d` their `_key` and `_row_hash`, and payments and events an id.

    Equal rows of one document that have no id of their own are told apart by their place among these, counted from the
    last one. So a document that is delivered again gives the same keys.
    """
    own_id = _OWN_IDS.get(entity.name, "")
    is_line = own_id == "line_number"
    row_hash = f"md5(concat_ws(chr(31), {_texts('d', entity, but=('line_number',))}))"
    if not identity.has_unnumbered:
        key = "d.order_id || '|' || d.line_number" if is_line else f"d.{entity.key[0]}"
        return f"select d.*, {key} as _key, {row_hash} as _row_hash from ({rows}) d"
    if is_line:
        content = f"md5(concat_ws(chr(31), {_texts('d', entity, but=('line_number', 'updated_at'))}))"
    elif entity.name == "payments":
        paid_at = "coalesce(cast(d.paid_at as varchar), '')"
        content = _id_of("d.order_id", "coalesce(d.method, '')", "cast(d.amount as varchar)", paid_at)
    else:
        content = _id_of(_texts("d", entity, but=(own_id,)))
    rows = f"select d.*, case when d.{own_id} is null then {content} end as _content from ({rows}) d"
    # Rows that differ in the time of their change alone are versions of one line.
    equal = "k._source_file, k.order_id, k._content" + (", k.updated_at" if is_line else "")
    place = f"row_number() over (partition by {equal} order by k._source_row desc)"
    if is_line:
        number = f"coalesce(k.line_number, k._content || case when {place} > 1 then '|' || {place} else '' end)"
        key = f"k.order_id || '|' || {number} as _key"
        return f"select d.*, {row_hash} as _row_hash from (select k.* exclude (_content), {key} from ({rows}) k) d"
    # Equal lines are merged by a model, which asks the order's total first; payments and events have none to ask.
    suffix = "''" if spec.equal_lines == "merge" else f"case when {place} > 1 then '-' || {place} else '' end"
    id_column = f"coalesce(k.{own_id}, k._content || {suffix}) as {own_id}"
    rows = f"select k.* exclude (_content) replace ({id_column}) from ({rows}) k"
    return f"select d.*, d.{own_id} as _key, {row_hash} as _row_hash from ({rows}) d"


def _id_of(*parts: str) -> str:
    return f"'D-' || substr(md5(concat_ws('|', {', '.join(parts)})), 1, 16)"


def _texts(rows: str, entity: Entity, but: tuple[str, ...]) -> str:
    """Return an entity's columns but for some as texts, none of which is null."""
    names = (c.name for c in entity.columns if c.name not in but)
    return ", ".join(f"coalesce(cast({rows}.{name} as varchar), chr(30))" for name in names)
