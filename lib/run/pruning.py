"""Retention: which runs, kept copies and leftovers can go, and removing them.

Only what belongs to the data folder at hand is looked at, and nothing is removed while a run is at work on it. The last
run that published stays, however old, and so do runs that wait or are under way, and every batch that is whole.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lib.base.errors import ConfigError
from lib.base.files import PURPOSES, file_lock, is_locked
from lib.lake import Lake
from lib.run.checkpoints import is_of
from lib.run.manifest import list_runs, write_index
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: What a notebook run by hand may still be writing is younger than this.
_DAY = 86_400
_REMOVING = ".removing-"
_SCRATCH = (*PURPOSES, "spill")


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go: what it is, and how large."""

    kind: str
    path: Path
    bytes: int


def find(settings: Settings, keep: int, keep_days: int, now: datetime | None = None) -> list[Leftover]:
    """Return what can go: of runs those that are neither among the newest `keep` nor younger than `keep_days`."""
    if keep < 1 or keep_days < 0:
        raise ConfigError(f"prune: expected --keep 1 or more and --keep-days 0 or more, found {keep} and {keep_days}.")
    before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    manifests = list_runs(settings.output_dir)
    gone = {m["run_id"] for m in _old_runs(settings, manifests, keep, before)}
    known = {m["run_id"] for m in manifests} - gone
    found = [("run", settings.output_dir / "runs" / run_id) for run_id in sorted(gone)]
    found += [("kept copy", path) for path in _kept_copies(settings, gone, known, before.timestamp())]
    found += [("orphaned copy", path) for path in _orphaned_copy(settings)]
    found += [("orphaned batch", path) for path in _orphaned_batches(settings)]
    found += [("page of a difference", path) for path in _lost_differences(settings.output_dir, known)]
    found += [("temporary file", path) for path in _temporary(settings)]
    return [Leftover(kind, path, _size(path)) for kind, path in found]


def remove(settings: Settings, keep: int, keep_days: int) -> list[Leftover]:
    """Remove what can go while no run is at work on these data, and return it.

    Raises LakeLockedError where one is.
    """
    message = f"A run is at work on {settings.data_dir} (see: run_pipeline.py runs); nothing was removed."
    with (
        file_lock(settings.data_dir / ".run.lock", 1, message),
        open_warehouse(settings).exclusive(),
        Lake(settings.lake_url).lock(5),
    ):
        found = find(settings, keep, keep_days)
        for item in found:
            _remove(settings, item)
        write_index(settings.output_dir)
    return found


def _old_runs(
    settings: Settings, manifests: list[dict[str, Any]], keep: int, before: datetime
) -> Iterator[dict[str, Any]]:
    own = [m for m in manifests if is_of(m, settings)]
    last_good = next((m["run_id"] for m in own if m["state"] == "published"), None)
    latest = (settings.output_dir / "latest").resolve().name
    for manifest in own[keep:]:
        stays = manifest["run_id"] in (last_good, latest) or manifest["state"] in ("running", "waiting")
        folder = settings.output_dir / "runs" / manifest["run_id"]
        if not stays and datetime.fromisoformat(manifest["started_at"]) < before and not is_locked(folder / ".lock"):
            yield manifest


def _kept_copies(settings: Settings, gone: set[str], known: set[str], before: float) -> Iterator[Path]:
    """Yield what is kept of runs that go, and of those long gone; a run may have another output folder."""
    for path in sorted(settings.data_dir.glob("work/checkpoints/*")):
        if path.name in gone or (path.name not in known and path.stat().st_mtime < min(before, time.time() - _DAY)):
            yield path


def _orphaned_copy(settings: Settings) -> Iterator[Path]:
    """Yield the private copy of a run that was killed: every run that ends removes its own."""
    path = settings.data_dir / "work" / "run"
    if path.exists() and _is_old(path):
        yield path


def _orphaned_batches(settings: Settings) -> Iterator[Path]:
    """Yield folders of batches without a manifest, which killed runs left; of a lake elsewhere none is looked at."""
    lake = Lake(settings.lake_url)
    if lake.is_local:
        for pattern in ("raw/*/*/*", "lookups/raw/*/*/*"):
            for path in sorted(Path(lake.path("")).glob(pattern)):
                if path.is_dir() and not (path / "manifest.json").exists() and _is_old(path):
                    yield path


def _lost_differences(output_dir: Path, known: set[str]) -> Iterator[Path]:
    for path in sorted(output_dir.glob("diffs/*--*.html")):
        if not any(path.stem == f"{a}--{b}" for a in known if path.stem.startswith(f"{a}--") for b in known):
            yield path


def _temporary(settings: Settings) -> Iterator[Path]:
    """Yield files that were never finished, a day or more old."""
    for path in sorted(settings.data_dir.glob("work/*")):
        if path.name.split("-")[0] in _SCRATCH and _is_old(path):
            yield path
    yield from sorted(settings.output_dir.glob(f"{_REMOVING}*"))
    lake = Lake(settings.lake_url)
    folders = [settings.output_dir, settings.data_dir / "work", *([Path(lake.path(""))] if lake.is_local else [])]
    for folder in folders:
        for path in sorted(folder.rglob(".*.partial")):
            if not path.is_symlink() and _is_old(path):
                yield path


def _is_old(path: Path) -> bool:
    """Whether nothing has been written there for a day."""
    with contextlib.suppress(OSError):
        return max(p.lstat().st_mtime for p in (path, *path.rglob("*"))) < time.time() - _DAY
    return False


def _size(path: Path) -> int:
    return sum(p.lstat().st_size for p in (path, *path.rglob("*")) if not p.is_symlink() and p.is_file())


def _remove(settings: Settings, item: Leftover) -> None:
    path = item.path
    if item.kind == "run":
        # Whole or not at all: a folder that loses its files one by one would be a run without its manifest.
        path = settings.output_dir / f"{_REMOVING}{path.name}"
        shutil.rmtree(path, ignore_errors=True)
        item.path.rename(path)
        if settings.config.warehouse.target != "duckdb":
            open_warehouse(settings, "run").forget_states(item.path.name)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
