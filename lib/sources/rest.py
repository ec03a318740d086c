"""Source kind `rest`: a JSON API over HTTP. Its pages are asked for in `paging`; here its records become rows.

A record's nested objects are columns with dotted names, its lists JSON text, all other values text as they stand.
What is handed over are the records that are new or differ from what the lake holds of their key, so that the raw parts
are the history of every record and an unchanged answer is no batch. In `snapshot` mode everything is asked for each
time; in `changes` mode what changed since the newest time of change taken, less an overlap.

A record that is gone from a snapshot stays as it was last seen; the cursor counts them.
"""

import contextlib
import functools
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import duckdb
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lib.base.errors import SourceError, did_you_mean
from lib.base.quoting import text_literal
from lib.base.secrets import keep_secret
from lib.config import EntitySource, Source
from lib.entities import ENTITIES
from lib.sources.delivery import Delivery, Extractor, State, Task, Totals
from lib.sources.paging import open_client, place_of, shown, walk
from lib.sources.records import Column, columns_of, compare, count, flatten, write

if TYPE_CHECKING:
    import httpx

_SECRET_HEADER = re.compile("auth|key|secret|token|cookie", re.IGNORECASE)
_POSITIONS = {"cursor": "cursor", "page": "page", "offset": "offset"}
#: So many records without a column are no accident; of fewer, the column may just have been left empty.
_ENOUGH = 20
#: Numbered pages that moved while they were read are read once more.
_WALKS = 2


class RestEntity(EntitySource):
    """Where an API serves an entity, and how it pages."""

    path: str = ""
    records: str = "data"
    key: tuple[str, ...] = ()
    mode: Literal["snapshot", "changes"] = "snapshot"
    paging: Literal["cursor", "page", "offset", "link", "none"] = "cursor"
    position_parameter: str = ""
    size_parameter: str = "page_size"
    first_page: int = Field(1, ge=0)
    next: str = "next_cursor"
    total: str = ""
    since_parameter: str = "updated_since"
    overlap_seconds: int = Field(86_400, ge=0)
    parameters: dict[str, str] = Field({})

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _usual_position(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("position_parameter"):
            return values | {"position_parameter": _POSITIONS.get(values.get("paging", "cursor"), "")}
        return values

    @property
    def reader(self) -> dict[str, Any]:
        return {"path": self.path, "records": self.records, "key": self.key, "parameters": self.parameters}

    def column_of(self, ours: str) -> str:
        """Return the API's name of one of our columns, empty where it has none."""
        column = self.columns.get(ours) if self.columns else ours
        return column if isinstance(column, str) else ""


class Server(BaseModel):
    """A server of this machine that runs only while the source is read: a Python context manager and its arguments.

    It is named `package.module:function`, and yields the keys of the source that it decides: `url`, and often `token`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, str] = Field({})


class RestSource(Source):
    """A JSON API: its address, the token it asks for, and how patiently it is asked.

    Where `url` is empty, `server` is started.
    """

    kind: Literal["rest"]
    url: str = ""
    server: Server | None = None
    token: str = Field("", repr=False)
    headers: dict[str, str] = Field({}, repr=False)
    page_size: int = Field(1_000, gt=0)
    timeout_seconds: float = Field(30, gt=0)
    retries: int = Field(5, ge=0)
    entities: dict[str, RestEntity] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address that starts with https:// or http://")
        return value

    @field_validator("token")
    @classmethod
    def _without_line_end(cls, value: str) -> str:
        return value.strip()

    @model_validator(mode="after")
    def _has_an_address(self) -> "RestSource":
        if not self.url and not self.server:
            raise ValueError("give 'url', or 'server' where one is to be started")
        return self


MODEL = RestSource


@contextlib.contextmanager
def open_source(source: RestSource, work_dir: Path) -> Iterator[Extractor]:
    """Open one client for all entities, on a server of its own where the source has no address."""
    with contextlib.ExitStack() as stack:
        if not source.url and source.server:
            source = source.model_copy(update=stack.enter_context(_started(source.server)))
        yield functools.partial(extract, source, stack.enter_context(_opened(source)))


def _started(server: Server) -> AbstractContextManager[Mapping[str, str]]:
    module, _, function = server.start.partition(":")
    try:
        start = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SourceError(
            f"The server {server.start!r} cannot be started: {error}. Expected package.module:function of a Python"
            " context manager. Correct 'server' of this source."
        ) from None
    return cast("AbstractContextManager[Mapping[str, str]]", start(**server.arguments))


def _opened(source: RestSource) -> AbstractContextManager["httpx.Client"]:
    if not (source.token.isascii() and source.token.isprintable()):
        raise SourceError(f"The token for {shown(source.url)} holds a character that no HTTP header may. Set it anew.")
    for secret in (source.token, *(value for name, value in source.headers.items() if _SECRET_HEADER.search(name))):
        keep_secret(secret)
    return open_client(source)


def extract(source: RestSource, client: "httpx.Client", task: Task) -> Delivery:
    """Hand over the records that are new or changed, as one document `<entity>-<number of the delivery>`.

    Part columns: the records' own, all text, `_file` and `_row` (running number in the batch, from 0). What is no
    object or lacks its key is in `malformed-*.parquet` as `_file`, `_line` (place in the document, from 1), `_text`,
    `_error`, once. The cursor has `records` (of this answer), `gone` (keys that a snapshot no longer has), `updated_at`
    (newest time of change, ISO) and `malformed` (hashes).

    Raises SourceError where the API cannot be reached or used; nothing is handed over then.
    """
    entity, spec, state, connection, progress = task.entity, task.spec, task.state, task.connection, task.progress
    where = f"{shown(source.url.rstrip('/'))}/{(spec.path or entity).lstrip('/')}"
    key = spec.key or tuple(name for ours in ENTITIES[entity].key if (name := spec.column_of(ours)))
    if not key:
        raise SourceError(f"{where}: nothing tells which record is which. Give 'key' of {entity}: its id's column.")
    since = _since(spec, state.cursor) if spec.mode == "changes" else ""
    parameters = {spec.since_parameter: since} if since else {}
    stated = _read(source, entity, spec, client, connection, parameters, key, progress)
    columns = columns_of(connection, [*key, *spec.mapped, *state.types], where)
    columns += _unseen(connection, entity, spec, state, key, columns, where)
    if source.schema_changes == "discard" and state.types:
        # What is left out of the lake must not make a record differ from it.
        columns = [c for c in columns if c.name in state.types]
    names = [c.name for c in columns]
    flatten(connection, columns, key)
    malformed = set(state.cursor.get("malformed", []))
    gone = compare(connection, state, key, malformed)
    if gone and spec.mode == "snapshot":
        progress(f"{entity}: {gone:,} records taken before are gone")
    file, parts = write(connection, task.scratch, task.next_document, names)
    cursor = _cursor(connection, spec, state.cursor, names, gone)
    # Those that changed are not all that the API has.
    totals = Totals({}) if since else _totals(connection, stated, gone)
    if file is None:
        return Delivery(cursor=cursor, totals=totals)
    return Delivery(files=(file,), parts=parts, columns=tuple(names) if file.rows else (), cursor=cursor, totals=totals)


def _read(
    source: RestSource,
    entity: str,
    spec: RestEntity,
    client: "httpx.Client",
    connection: duckdb.DuckDBPyConnection,
    parameters: dict[str, str],
    key: tuple[str, ...],
    progress: Callable[[str], None],
) -> int | None:
    """Fill the table `_records` (position, record as JSON text) with all pages; return the number of records stated.

    Numbered pages move when records come and go in between: one shows up twice or not at all. Where that can be seen
    (a key twice, a total that changed or is more than was read), all is read again and what both readings have counts.
    """
    connection.execute("create or replace temp table _records (position bigint, record varchar)")
    keys = ", ".join(f"json_extract_string(record, {text_literal(place_of(name))})" for name in key)
    position = 0
    for _ in range(_WALKS):
        start = position
        totals: set[int] = set()
        for page in walk(source, spec, spec.path or entity, client, connection, parameters):
            connection.execute(
                "insert into _records select $start + generate_subscripts(found, 1) - 1, unnest(found)"
                " from (select json_extract($records, '$[*]') as found)",
                {"start": position, "records": page.records},
            )
            position += page.count
            totals |= {page.total} if page.total is not None else set()
            progress(f"{entity}: {position:,} records read")
        if spec.paging not in ("page", "offset"):
            break
        sql = f"select count(*), count(distinct ({keys}, '')) from _records where position >= ?"
        read, distinct = connection.execute(sql, [start]).fetchone() or (0, 0)
        if read == distinct and len(totals) < 2 and max(totals, default=0) <= distinct:
            break
    return max(totals, default=None)


def _unseen(
    connection: duckdb.DuckDBPyConnection,
    entity: str,
    spec: RestEntity,
    state: State,
    key: tuple[str, ...],
    columns: list[Column],
    where: str,
) -> list[Column]:
    """Return the columns that these records may just happen to lack: those of earlier takes, and those of the mapping.

    Many records of a snapshot do not happen to lack one: it is left out, and `lib.ingest.drift` says that it was there
    before. Raises SourceError where the mapping names it and no earlier take had it either.
    """
    found = [c.name for c in columns]
    records = count(connection, "_records")
    few = records < _ENOUGH or (spec.mode == "changes" and bool(state.types))
    # Without its key no record can be used, so one that never had it is a mistake however few there are.
    had = [*found, *state.types] if few else found
    if records and (lost := [name for name in key if name not in had]):
        raise SourceError(
            f"{where}: no record has its key {lost[0]!r}; found {', '.join(found[:20]) or 'no columns'}."
            f"{did_you_mean(lost[0], found)} Correct 'key' of {entity}, or the mapping of its id."
        )
    if few:
        expected = dict.fromkeys([*key, *state.types, *spec.mapped])
        return [Column(name, place_of(name)) for name in expected if name not in found]
    required = [spec.column_of(c.name) for c in ENTITIES[entity].columns if c.required]
    wanted = spec.mapped or [name for name in required if name]
    if not state.types and (lost := [name for name in wanted if name not in found]):
        raise SourceError(
            f"{where}: none of its {records:,} records has {lost[0]!r} (mapped for {entity}); found"
            f" {', '.join(found[:20])}.{did_you_mean(lost[0], found)} Correct 'columns' of {entity}."
        )
    return []


def _totals(connection: duckdb.DuckDBPyConnection, stated: int | None, gone: int) -> Totals:
    """Return how many records the API says it has, else how many it answered, and how many taken before are gone."""
    answered = count(connection, "_now") + count(connection, "_odd")
    reported_by = "the records answered" if stated is None else "the total stated"
    return Totals({"records": float(answered if stated is None else stated), "gone": float(gone)}, reported_by)


def _cursor(
    connection: duckdb.DuckDBPyConnection, spec: RestEntity, before: dict[str, Any], names: list[str], gone: int
) -> dict[str, Any]:
    """Return what the next take is to be told."""
    cursor: dict[str, Any] = {"records": count(connection, "_now")}
    if spec.mode == "snapshot":
        cursor["gone"] = gone
    if changed_at := _newest(connection, names, spec.column_of("updated_at"), before.get("updated_at", "")):
        cursor["updated_at"] = changed_at
    known = set(before.get("malformed", []))
    known |= {content for (content,) in connection.execute("select substr(_content, 1, 16) from _odd").fetchall()}
    if known:
        cursor["malformed"] = sorted(known)
    return cursor


def _since(spec: RestEntity, cursor: dict[str, Any]) -> str:
    """Return from when on changes are asked for: the overlap covers records that were written late, and time zones."""
    if not cursor.get("updated_at"):
        return ""
    then = datetime.fromisoformat(cursor["updated_at"]) - timedelta(seconds=spec.overlap_seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def _newest(connection: duckdb.DuckDBPyConnection, names: list[str], column: str, before: str) -> str:
    """Return the newest time of change so far in ISO form, empty where none can be read.

    What lies in the future is a slip: to ask for changes since then would bring nothing any more.
    """
    if column not in names:
        return before
    (found,) = connection.execute(
        "select strftime(max(changed), '%Y-%m-%dT%H:%M:%SZ') from (select"
        f" timezone('UTC', try_cast(c{names.index(column)} as timestamptz)) as changed from _flat) where changed <= ?",
        [datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)],
    ).fetchone() or (None,)
    return max(found or "", before)
