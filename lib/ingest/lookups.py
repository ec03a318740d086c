"""Tables that values are looked up in (`lookup` of a mapping): read with what asks for them, and kept in a lake apart.

They are read by the extractor of their source's kind, as an entity would be; only their key and their value must be
there. They are no entities: nothing of them is staged, counted or checked.
"""

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from lib.base.errors import SourceError
from lib.base.files import scratch_folder
from lib.base.hashing import fingerprint
from lib.base.quoting import quoted, text_literal
from lib.config import EntitySource, Lookup, Source
from lib.lake import Lake, live_files
from lib.settings import Settings
from lib.sources.delivery import Extractor, Task
from lib.sources.listing import some


@dataclass(frozen=True)
class Table:
    """A table of lookups: its `name` in the lake, its `title` for people, and how it is read.

    `content` tells what the lake holds of it, empty where that is nothing; `rows` is the `from` clause of its rows.
    """

    name: str
    title: str
    spec: EntitySource
    content: str = ""
    rows: str = ""


def tables_of(lake: Lake, source: str, spec: EntitySource) -> dict[str, Table]:
    """Return, by our column, the tables that an entity's lookups search, as the lake holds them."""
    return {ours: _held(lake.lookups, source, _table(spec, lookup)) for ours, lookup in spec.lookups.items()}


def tables_to_read(spec: EntitySource) -> list[Table]:
    """Return the tables that an entity's lookups search, each once and with all columns that are asked of it."""
    tables: dict[str, Table] = {}
    for lookup in spec.lookups.values():
        table = _table(spec, lookup)
        columns = tables[table.name].spec.columns if table.name in tables else {}
        both = table.spec.model_copy(update={"columns": {**columns, **table.spec.columns}})
        tables[table.name] = replace(table, spec=both)
    return list(tables.values())


def read_tables(
    settings: Settings,
    lake: Lake,
    name: str,
    source: Source,
    entity: str,
    extract: Extractor,
    run_id: str,
    progress: Callable[[str], None],
) -> list[str]:
    """Read what is new of the tables that an entity's lookups search; return remarks.

    Raises SourceError where one of them cannot be read whole: what it lacks would be values that nobody misses.
    """
    spec = source.entities[entity]
    lookups: dict[str, list[tuple[str, Lookup]]] = {}
    for ours, lookup in spec.lookups.items():
        lookups.setdefault(_table(spec, lookup).name, []).append((ours, lookup))
    remarks: list[str] = []
    for table in tables_to_read(spec):
        place = f"sources.{name}.entities.{entity}.columns.{lookups[table.name][0][0]}.lookup"
        try:
            remarks += _read(settings, lake.lookups, name, table, lookups[table.name], extract, run_id, progress)
        except SourceError as error:
            raise type(error)(f"{place}: {error}") from None
    return remarks


def _read(
    settings: Settings,
    lake: Lake,
    name: str,
    table: Table,
    lookups: list[tuple[str, Lookup]],
    extract: Extractor,
    run_id: str,
    progress: Callable[[str], None],
) -> list[str]:
    reader = fingerprint(table.spec.reader)
    remarks: list[str] = []
    with scratch_folder(settings.work_dir, "lookup") as scratch, lake.connect(settings) as connection:
        state = lake.state(name, table.name, reader)
        progress(f"{name}: {table.title}")
        # Documents are named after the entity: of a table it is the one name for good.
        task = Task(table.title, table.spec, state, scratch, connection, lambda text: progress(f"{name}: {text}"))
        delivery = extract(task)
        if delivery.rejected:
            reasons = [f"{file.name}: {file.reason}" for file in delivery.rejected]
            raise SourceError(f"{some(reasons)} Correct the file, or the lookup.")
        remarks += delivery.remarks
        malformed = sum(file.malformed for file in delivery.files)
        if malformed:
            remarks.append(f"{table.title}: {malformed:,} lines cannot be read; what they state is not found")
        if lake.commit(name, table.name, reader, delivery, run_id):
            rows = _held(lake, name, table).rows
            for ours, lookup in lookups:
                keys = ", ".join(f"trim(cast({quoted(key)} as varchar))" for key in lookup.key)
                value = f"coalesce(cast({quoted(lookup.value)} as varchar), '')"
                ((count,),) = connection.execute(
                    f"select count(*) from (select {keys} from {rows} t where {quoted(lookup.key[0])} is not null"
                    f" group by all having count(distinct {value}) > 1)"
                ).fetchall()
                if count:
                    remarks.append(
                        f"{ours}: {table.title} has several values of {lookup.value!r} for {count:,} keys"
                        f" ({some(lookup.key)}); the last one counts"
                    )
    return remarks


def _table(spec: EntitySource, lookup: Lookup) -> Table:
    own = spec.table_of(lookup)
    place = next(lookup.options[key] for key in own.table_places if lookup.options.get(key))
    word = "query" if lookup.options.get("query") else str(place)
    title = f"lookup_{re.sub(r'[^a-z0-9]+', '_', word.lower()).strip('_')[:40]}"
    return Table(f"{title}_{fingerprint([lookup.options, own.reader])}", title, own)


def _held(lake: Lake, source: str, table: Table) -> Table:
    """Return a table with what a lake of lookups holds of it: the newest rows of each document."""
    batches = lake.batches(source, table.name)
    live = live_files(batches)
    content, selects = [], []
    for batch in batches:
        files = [file for file in batch.files if file.name in live[batch.batch_id, batch.source, batch.entity]]
        content += [(file.name, file.sha256) for file in files]
        parts = [
            text_literal(glob.escape(lake.path(f"{batch.folder}/{p}"))) for p in batch.parts if p.startswith("part-")
        ]
        if files and parts:
            names = ", ".join(text_literal(file.name) for file in files)
            read = f"read_parquet([{', '.join(parts)}], union_by_name = true)"
            selects.append(f"select * from {read} where _file in ({names})")
    if not selects:
        return table
    return replace(table, content=fingerprint(sorted(content)), rows=f"({' union all by name '.join(selects)})")
