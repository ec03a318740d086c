"""Kill an ingest at its writes, repeat it, and see whether the lake then holds what an undisturbed one left.

`python -m tests.killing FOLDER [EVERY]` for a shop whose systems are in FOLDER/sources: a child process ingests
everything and dies at one write (before it, half-way through a file, and after it), a second child repeats the ingest.
Prints the number of points and each point after which something differs; exit code 1 then.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from lib import lake as lake_module
from lib.ingest.run import ingest
from lib.lake import Lake
from lib.settings import Settings, load_settings

#: The functions of a lake that write; a point lies before and after each call, and within each copy of a file.
WRITES = ("place", "write_json")


def ingest_in_child(settings: Settings, die_at: int = -1) -> int:
    """Ingest all in a child process that dies at a point (-1: never); return how many it passed, -1 if it died."""

    def ingest_all() -> int:
        points = _count_and_die(die_at)
        ingest(settings, "run").raise_failures()
        return points[0]

    status, text = _in_child(ingest_all)
    if die_at < 0 and status:
        sys.exit("an undisturbed ingest failed")
    return int(text) if text else -1


def _count_and_die(die_at: int) -> list[int]:
    """Count the points of all writes from here on, and end the process at one of them."""
    passed = [0]

    def point() -> None:
        if passed[0] == die_at:
            os._exit(9)
        passed[0] += 1

    def watched(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            point()
            done = write(*arguments)
            point()
            return done

        return call

    def half_copied(source: Path, target: Path) -> None:
        content = Path(source).read_bytes()
        Path(target).write_bytes(content[: len(content) // 2])
        point()
        Path(target).write_bytes(content)

    for name in WRITES:
        setattr(Lake, name, watched(getattr(Lake, name)))
    lake_module.shutil.copyfile = half_copied  # type: ignore[assignment]
    return passed


def holdings(settings: Settings) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    """Return every batch of the lake by source, entity and id, with its documents and the sum of its rows' hashes."""
    lake = Lake(settings.lake_url)
    found = {}
    with duckdb.connect() as connection:
        for batch in lake.batches():
            parts = [lake.path(f"{batch.folder}/{p}") for p in batch.parts]
            sums = [
                connection.execute("select count(*), sum(hash(r)) from read_parquet(?) r", [part]).fetchone()
                for part in parts
            ]
            documents = sorted((f.name, f.sha256, f.rows) for f in batch.files)
            found[batch.source, batch.entity, batch.batch_id] = (batch.rows, documents, sums)
    return found


def campaign(folder: Path, every: int) -> tuple[int, list[str]]:
    """Return the number of points tried, and what differs after each of those that left a mark."""
    settings = load_settings(data_dir=folder, size="small")
    lake = Path(settings.lake_url)
    shutil.rmtree(lake, ignore_errors=True)
    points = ingest_in_child(settings)
    # Looking at Parquet starts threads, and a process with threads should not fork: another child does it.
    expected = _in_child(lambda: holdings(settings))
    if expected[0]:
        sys.exit("the lake could not be read")
    tried, faults = 0, []
    for number in range(0, points, every):
        shutil.rmtree(lake, ignore_errors=True)
        if ingest_in_child(settings, die_at=number) != -1:
            faults.append(f"point {number}: the ingest did not die")
        ingest_in_child(settings)
        found = _in_child(lambda: holdings(settings))
        tried += 1
        if found != expected:
            faults.append(f"point {number}: the lake differs from an undisturbed one")
    return tried, faults


def _in_child(function: Callable[[], Any]) -> tuple[int, str]:
    """Return the exit status of a child process and the representation of what the function returned there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as answer:
                answer.write(repr(function()))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    return os.waitpid(child, 0)[1], text


if __name__ == "__main__":
    tried, faults = campaign(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{tried} points")
    print("\n".join(faults))
    sys.exit(1 if faults else 0)
