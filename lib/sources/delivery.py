"""The contract between a kind of source and the lake: what is to be extracted, and what is delivered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

_MALFORMED = pa.schema([("_file", pa.string()), ("_line", pa.int64()), ("_text", pa.string()), ("_error", pa.string())])


@dataclass(frozen=True)
class SourceFile:
    """One source file of a batch: name below the source's path, content hash, and what was read.

    `reported_rows` is how many rows the file itself states, where it does.
    """

    name: str
    sha256: str
    bytes: int
    encoding: str = ""
    rows: int = 0
    first_row: int = 0
    malformed: int = 0
    reported_rows: int | None = None


@dataclass(frozen=True)
class RejectedFile:
    """A source file that could not be used at all, and why. `path` is where its bytes can be copied from."""

    name: str
    sha256: str
    bytes: int
    reason: str
    path: str = ""


@dataclass(frozen=True)
class Totals:
    """What a source reports that it holds of an entity: by measure (`records`, `amount`, `messages`), and from where.

    The measure `gone` counts what was read before and is no longer there.
    """

    values: dict[str, float]
    reported_by: str = ""


@dataclass(frozen=True)
class Delivery:
    """What a source handed over for one entity: local Parquet parts and the files they came from.

    A kind that reads no files names each answer, extract or message it read as one. `unchanged` names the files that
    are still as they were read, `originals` says where a file's own bytes lie on this machine, and `cursor` is what
    the kind goes on from the next time. `totals` are reported also where there is nothing new; there are none where
    only the documents themselves state how much they hold. `remarks` are sentences that somebody should read who looks
    at what was read, and what was not.
    """

    files: tuple[SourceFile, ...] = ()
    rejected: tuple[RejectedFile, ...] = ()
    parts: tuple[Path, ...] = ()
    columns: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    cursor: dict[str, Any] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    totals: Totals | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """What the lake holds of a source's entity: where the next extract goes on.

    `files` maps each name to the hash of the newest version read, `cursor` is what the kind handed over with the
    newest batch, `parts` are the raw Parquet files of rows, oldest first, `types` the Arrow type of each column seen
    so far, and `batches` counts the batches.
    """

    files: dict[str, str] = field(default_factory=dict)
    cursor: dict[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    types: dict[str, str] = field(default_factory=dict)
    batches: int = 0


@dataclass(frozen=True)
class Task:
    """One extract: the entity and its configuration, what the lake holds of it, and what to work with.

    `scratch` is a folder for the Parquet parts and all else that is written on the way.
    """

    entity: str
    spec: Any
    state: State
    scratch: Path
    connection: duckdb.DuckDBPyConnection
    progress: Callable[[str], None] = lambda _: None

    @property
    def next_document(self) -> str:
        """The name of an extract that adds to what the lake holds."""
        return f"{self.entity}-{self.state.batches + 1:06d}"


#: Extracts what is new of an entity since the task's state, as Parquet parts in its scratch folder.
Extractor = Callable[[Task], Delivery]


def write_malformed(lines: Sequence[tuple[str, int, str, str]], scratch: Path, number: int) -> Path:
    """Write lines that are no records as a Parquet part: file, line (from 1; blank ones do not count), text, error."""
    part = scratch / f"malformed-{number:04d}.parquet"
    columns = [pa.array(values, kind) for values, kind in zip(zip(*lines, strict=True), _MALFORMED.types, strict=True)]
    pq.write_table(pa.table(columns, schema=_MALFORMED), part)
    return part
