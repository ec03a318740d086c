"""A drafted sources file, tried: its rows as they would arrive, read and mapped as a run does it.

What only the mapped rows can show is decided here: whether prices include the tax, and whether a price is the line's.
"""

import contextlib
import copy
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from lib.base.errors import PipelineError, in_one_line
from lib.base.quoting import quoted, text_literal
from lib.clean.standardize import standardize
from lib.entities import ENTITIES
from lib.ingest.run import ingest
from lib.inspect.documents import LARGE, SAMPLE, Document, beginning
from lib.inspect.groups import Drafted
from lib.inspect.sources_file import Draft, text_of
from lib.lake import Lake
from lib.settings import load_settings

#: Rows that are shown of each entity.
SHOWN = 3
#: What is left out, and is no fault.
_LEFT_OUT = {
    "left_out": "that do not meet 'where'",
    "repeated_header": "that repeat the header",
    "totals_row": "of totals",
}
_TIMES = ("ordered_at", "event_at", "paid_at", "updated_at")


@dataclass(frozen=True)
class Arrived:
    """What arrived of one entity: rows, those that cannot be used by reason, first and last time, the first rows."""

    rows: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    columns: tuple[str, ...] = ()
    shown: tuple[tuple[str, ...], ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Trial:
    """What arrived, by source and entity; `failure` where the file cannot be used. `paths` are the typed rows."""

    arrived: Mapping[tuple[str, str], Arrived] = field(default_factory=dict)
    failure: str = ""
    paths: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def try_out(drafted: Drafted, scratch: Path) -> Trial:
    """Return what arrives by a draft; `scratch` is a new folder, in which everything is done."""
    scratch.mkdir()
    file = scratch / "drafted.yml"
    file.write_text(text_of(_on_samples(drafted, scratch / "samples")), encoding="utf-8")
    try:
        settings = load_settings(sources=file, data_dir=scratch / "data", output_dir=scratch / "outputs")
        lake = Lake(settings.lake_url)
        read = ingest(settings, "inspect")
        paths: dict[tuple[str, str], list[str]] = {}
        for made in standardize(settings, lake, lake.batches()):
            paths.setdefault((made.batch.source, made.batch.entity), []).append(made.path)
    except (PipelineError, duckdb.Error) as error:
        return Trial(failure=in_one_line(error).replace(f"{file.name}: ", ""))
    arrived = {}
    with duckdb.connect() as connection:
        for key, found in paths.items():
            arrived[key] = _arrived(connection, key[1], found, settings.shop.time_zone)
    for name, message in {**read.failures, **read.skipped}.items():
        source, _, entity = name.partition(".")
        for own in [entity] if entity else drafted.draft.sources[source].entities:
            arrived[source, own] = Arrived(failure=message)
    return Trial(arrived, paths={key: tuple(found) for key, found in paths.items()})


def _on_samples(drafted: Drafted, folder: Path) -> Draft:
    """Return the draft with samples in place of large files and tables, which lie in a folder."""
    draft = copy.deepcopy(drafted.draft)
    for number, (name, source) in enumerate(draft.sources.items()):
        found = [d for (own, _), group in drafted.groups.items() if own == name for d in group.documents]
        if source.kind == "database":
            if any(d.rows > SAMPLE for d in found):
                source.where = {"path": str(_as_sqlite(found, folder / str(number)))}
            continue
        if not any(d.is_part for d in found):
            continue
        base = Path(source.where["path"])
        for place in {d.place: d for d in found}:
            target = folder / str(number) / Path(place).relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(place).stat().st_size > LARGE:
                target.write_bytes(beginning(Path(place)))
            else:
                target.symlink_to(place)
        source.where = {"path": str(folder / str(number))}
    return draft


def _as_sqlite(found: Sequence[Document], folder: Path) -> Path:
    """Write the sampled rows of some tables to a SQLite file and return it."""
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "sample.db")) as connection, connection:
        for document in found:
            columns = ", ".join(quoted(name) for name in document.names)
            marks = ", ".join("?" * len(document.names))
            connection.execute(f"create table if not exists {quoted(document.name)} ({columns})")
            rows = zip(*(column.texts for column in document.columns), strict=True)
            connection.executemany(f"insert into {quoted(document.name)} values ({marks})", rows)
    return folder / "sample.db"


def _arrived(connection: duckdb.DuckDBPyConnection, entity: str, paths: Sequence[str], zone: str) -> Arrived:
    rows = f"read_parquet([{', '.join(map(text_literal, paths))}])"
    known = {name for (name,) in connection.execute(f"select column_name from (describe from {rows})").fetchall()}
    time = next((name for name in _TIMES if name in known), "")
    kinds = {c.name: c.kind for c in ENTITIES[entity].columns}

    def in_zone(name: str) -> str:
        return f"timezone({text_literal(zone)}, timezone('UTC', {name}))"

    span = f"{in_zone(f'min({time})')}, {in_zone(f'max({time})')}" if time else "null, null"
    ((count, first, last),) = connection.execute(
        f"select count(*), {span} from {rows} where _reject_rule is null or _reject_rule = ''"
    ).fetchall()
    rejected = connection.execute(
        f"select _reject_rule, coalesce(_reject_reason, _reject_rule), count(*) from {rows}"
        " where _reject_rule is not null group by 1, 2 order by 3 desc"
    ).fetchall()
    refused = {reason: n for rule, reason, n in rejected if rule not in _LEFT_OUT}
    left_out: dict[str, int] = {}
    for rule, _, n in rejected:
        if rule in _LEFT_OUT:
            left_out[_LEFT_OUT[rule]] = left_out.get(_LEFT_OUT[rule], 0) + n
    names = [c.name for c in ENTITIES[entity].columns if c.name in known]
    filled = ", ".join(f"count({quoted(name)}) > 0" for name in names)
    (given,) = connection.execute(f"select {filled} from {rows} where _reject_rule is null").fetchall()
    names = [name for name, is_given in zip(names, given, strict=True) if is_given]
    shown: list[tuple[Any, ...]] = []
    if names:
        shown = connection.execute(
            f"select {', '.join(in_zone(quoted(n)) if kinds[n] == 'timestamp' else quoted(n) for n in names)}"
            f" from {rows} where _reject_rule is null"
            f" order by _source_file, _source_row limit {SHOWN}"
        ).fetchall()
    texts = tuple(tuple(map(_shown, row)) for row in shown)
    total = count + sum(n for _, _, n in rejected)
    return Arrived(total, refused, left_out, _shown(first), _shown(last), tuple(names), texts)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        text = f"{value.normalize():f}"
        return text if "." not in text or len(text.rsplit(".", 1)[1]) > 1 else f"{value:.2f}"
    return str(value).removesuffix(" 00:00:00")


# What the mapped rows show


def includes_tax(trial: Trial) -> tuple[bool | None, int, int]:
    """Return whether the orders' totals come to their lines and shipping without adding the tax; None where nothing
    shows it. And of how many orders it holds, of those that show it."""
    without = including = 0
    for more, less in _of_orders(
        trial,
        """select count(*) filter (where abs(goods + shipping + tax - total) <= 0.02),
            count(*) filter (where abs(goods + shipping - total) <= 0.02)
        from orders where abs(tax) > 0.02""",
    ):
        without, including = without + more, including + less
    if not without + including:
        return None, 0, 0
    return including > without, max(including, without), including + without


def unit_or_line(trial: Trial, key: tuple[str, str]) -> tuple[int, int]:
    """Return how many orders come to their totals with the prices of an entity as those of one piece, and as whole
    lines', of those in which that differs."""
    own = Trial(
        paths={k: p for k, p in trial.paths.items() if k == key or (k[1] == "orders" and key[1] == "order_items")}
    )
    near = "least(abs({0} + shipping - total), abs({0} + shipping + tax - total)) <= 0.02"
    pairs = _of_orders(
        own,
        f"""select count(*) filter (where {near.format("goods")}), count(*) filter (where {near.format("as_lines")})
        from orders where abs(goods - as_lines) > 0.02""",
    )
    return sum(unit for unit, _ in pairs), sum(line for _, line in pairs)


def _of_orders(trial: Trial, query: str) -> list[tuple[int, int]]:
    """Return what a query finds in the orders that state a total: with the lines in the same rows, and in rows of their
    own."""

    def paths(entity: str) -> list[str]:
        return [path for (_, own), found in trial.paths.items() if own == entity for path in found]

    sources = []
    if flat := paths("order_lines"):
        sources.append(_FLAT.format(lines=_read(flat)))
    if (orders := paths("orders")) and (items := paths("order_items")):
        sources.append(_JOINED.format(orders=_read(orders), lines=_read(items)))
    with duckdb.connect() as connection:
        return [
            (int(one), int(other))
            for source in sources
            for one, other in connection.execute(f"with orders as ({source}) {query}").fetchall()
        ]


def _read(paths: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(text_literal, paths))}], union_by_name = true)"


_GOODS = """sum(
    coalesce(line_total - abs(coalesce(discount_amount, 0)), line_amount,
        quantity * unit_price - abs(coalesce(discount_amount, quantity * unit_price * discount_rate, 0)))
)"""
_AS_LINES = """sum(
    coalesce(line_total - abs(coalesce(discount_amount, 0)), line_amount,
        unit_price - abs(coalesce(discount_amount, unit_price * discount_rate, 0)))
)"""
_FLAT = f"""
    select order_id, {_GOODS} - abs(coalesce(max(order_discount_amount), 0)) as goods,
        {_AS_LINES} - abs(coalesce(max(order_discount_amount), 0)) as as_lines,
        coalesce(max(shipping_amount), sum(line_shipping_amount), 0) as shipping,
        coalesce(max(tax_amount), sum(line_tax_amount), 0) as tax, max(total_amount) as total
    from {{lines}} where _reject_rule is null
    group by order_id having max(total_amount) is not null
"""
_JOINED = f"""
    select o.order_id, goods - abs(coalesce(o.discount_amount, 0)) as goods,
        as_lines - abs(coalesce(o.discount_amount, 0)) as as_lines,
        coalesce(o.shipping_amount, l.shipping, 0) as shipping, coalesce(o.tax_amount, l.tax, 0) as tax,
        o.total_amount as total
    from (select * from {{orders}} where _reject_rule is null and total_amount is not null) o
    join (
        select order_id, {_GOODS} as goods, {_AS_LINES} as as_lines, sum(shipping_amount) as shipping,
            sum(tax_amount) as tax
        from {{lines}} where _reject_rule is null group by order_id
    ) l on l.order_id = o.order_id
"""
