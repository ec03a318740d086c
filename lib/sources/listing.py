"""What lies at a place: the files of a folder, a file, a glob or an fsspec URL, and the delivery that grows as
they are read."""

import functools
import glob
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import fsspec

from lib.base.errors import SourceError, SourceUnavailableError, can_pass, did_you_mean
from lib.base.files import PROJECT
from lib.base.hashing import sha256_of
from lib.base.secrets import mask
from lib.sources.archives import members, unpacked
from lib.sources.delimited import COMPRESSED, Unusable
from lib.sources.delivery import Delivery, RejectedFile, SourceFile, Task


@dataclass(frozen=True)
class Listed:
    """A file's name below its source's path, and what gives it on this machine, fetched into a folder where it must be.

    Of an archive, `inside` says which of its files are read. `about` gives what its file system says of it, unread.
    """

    name: str
    fetch: Callable[[Path], Path]
    inside: str = "*"
    about: Callable[[], dict[str, Any]] = dict


def files_at(path: str, pattern: str, endings: tuple[str, ...], what: str, newest_days: int = 0) -> list[Listed]:
    """Return the files below `path` that match, in order of their names; hidden ones (`.`, `_`) do not count.

    Where `newest_days` is given, only the newest days of folders `YYYY/MM/DD` are looked into; they lie below `path`
    and what the pattern has before its first wildcard.

    Archives (`.zip`) are listed as they are; a pattern may go on into one: `export.zip/orders*.csv`.

    Raises SourceError where there is no such place, or no file with one of the endings.
    """
    whole, inside = pattern, "*"
    if ".zip/" in pattern:
        pattern, _, inside = pattern.partition(".zip/")
        pattern += ".zip"
    endings = (*endings, ".zip")
    remote = "://" in path
    url = path if remote else str((PROJECT / Path(path).expanduser()).resolve())
    try:
        fs, root = fsspec.core.url_to_fs(url)
        if not fs.exists(root):
            raise SourceError(
                f"No folder or file {mask(url)}. Check 'path' of this source, or that the place is mounted."
            )
        if fs.isfile(root):
            paths, base = [root], root.rsplit("/", 1)[0]
            inside = whole if suffix(root) == ".zip" else inside
        else:
            base = root.rstrip("/")
            wanted = f"{base}/{pattern}"
            if newest_days:
                paths = _in_newest_days(fs, base, pattern, newest_days)
            else:
                paths = fs.find(wanted) if fs.isdir(wanted) else fs.glob(f"{glob.escape(base)}/{pattern}")
    except SourceError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise _kind(error)(f"{mask(url)} cannot be listed: {mask(str(error))}") from None
    usable = [p for p in sorted(paths) if suffix(p) in endings and not p.rsplit("/", 1)[-1].startswith((".", "_"))]
    if not usable:
        if paths:
            names = some(sorted(p.removeprefix(f"{base}/") for p in paths))
            raise SourceError(f"No {what} files match {whole!r} in {mask(url)}; found only {names}.")
        there = [p.removeprefix(f"{base}/") for p in sorted(fs.find(base))[:1000] if suffix(p) in endings]
        found = f"; found {some(there)}.{did_you_mean(whole, there)}" if there else "; found none at all."
        raise SourceError(f"No {what} files match {whole!r} in {mask(url)}{found} Correct 'files' of this entity.")

    return [
        Listed(
            p.removeprefix(f"{base}/"), functools.partial(_local, fs, p, remote), inside, functools.partial(fs.info, p)
        )
        for p in usable
    ]


def _local(fs: fsspec.AbstractFileSystem, path: str, remote: bool, scratch: Path) -> Path:
    """Return a file on this machine, fetched into a scratch folder where it is elsewhere."""
    if not remote:
        return Path(path)
    target = scratch / "fetched" / hashlib.sha256(path.encode()).hexdigest()[:16] / Path(path).name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        fs.get_file(path, str(target))
    except OSError as error:
        raise _kind(error)(f"{mask(path)} cannot be fetched: {mask(str(error))}") from None
    return target


def _kind(error: BaseException) -> type[SourceError]:
    return SourceUnavailableError if can_pass(error) else SourceError


@dataclass
class Reading:
    """A delivery that grows with the files that are read."""

    task: Task
    files: dict[str, SourceFile] = field(default_factory=dict)
    rejected: list[RejectedFile] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    originals: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, name: str, text: str) -> None:
        """Note something about a file; what is the same of several is said once."""
        self.remarks.setdefault(text, []).append(name)

    def new_files(self, listed: Sequence[Listed], endings: tuple[str, ...]) -> Iterator[tuple[SourceFile, Path]]:
        """Yield the files that are new or changed since the task's state; one that cannot be read is rejected."""
        for number, found in enumerate(listed):
            if number % 50 == 0:
                self.task.progress(f"{self.task.entity}: looking at file {number + 1:,} of {len(listed):,}")
            local = found.fetch(self.task.scratch)
            if suffix(found.name) != ".zip":
                yield from self._if_new(found.name, local)
                continue
            try:
                inside = members(local, found.inside)
                usable = [
                    m for m in inside if suffix(m.filename) in endings and not Path(m.filename).name.startswith("_")
                ]
                others = [member.filename for member in inside if member not in usable]
                if not usable:
                    held = f"; found {some(others)}" if others else ", and nothing else"
                    raise Unusable(f"has no file that matches {found.inside!r} and can be read{held}")
            except (OSError, Unusable) as error:
                self._reject_whole(found.name, local, str(error))
                continue
            if others:
                self.remark(found.name, f"in it, not read: {some(others)}")
            for member in usable:
                name = f"{found.name}/{member.filename}"
                try:
                    file = unpacked(local, member, self.task.scratch / "unpacked")
                except Unusable as error:
                    self.reject(SourceFile(name, f"{member.CRC:08x}", 0), str(error))
                    continue
                yield from self._if_new(name, file)
                if name in self.unchanged:
                    file.unlink()

    def _if_new(self, name: str, local: Path) -> Iterator[tuple[SourceFile, Path]]:
        try:
            if local.is_dir():
                raise IsADirectoryError(0, f"is a folder; name the files in it, such as {local.name}/*")
            file = SourceFile(name, sha256_of(local), local.stat().st_size)
        except OSError as error:
            self.reject(SourceFile(name, "", 0), f"cannot be read: {error.strerror or error}")
            return
        if self.task.state.files.get(name) == file.sha256:
            self.unchanged.append(name)
            return
        self.originals[name] = str(local)
        yield file, local

    def _reject_whole(self, name: str, local: Path, reason: str) -> None:
        for file, _ in self._if_new(name, local):
            self.reject(file, reason)

    def reject(self, file: SourceFile, reason: str) -> None:
        path = self.originals.get(file.name, "")
        self.rejected.append(RejectedFile(file.name, file.sha256, file.bytes, reason, path))

    def next_part(self) -> Path:
        return self.task.scratch / f"part-{len(self.parts):04d}.parquet"

    def delivery(self, path: str) -> Delivery:
        """Return what was read; raise SourceError where of all files below the path none was ever usable."""
        if self.rejected and not self.files and not self.task.state.files:
            reasons = "\n".join(f"  {r.name}: {r.reason}" for r in self.rejected[:3])
            more = f"\n  ... and {len(self.rejected) - 3} more" if len(self.rejected) > 3 else ""
            raise SourceError(
                f"None of the {len(self.rejected)} files for {self.task.entity} in {mask(path)} can be used:\n"
                f"{reasons}{more}\nCorrect the files, or the mapping of this source."
            )
        return Delivery(
            files=tuple(self.files.values()),
            rejected=tuple(self.rejected),
            parts=tuple(self.parts),
            columns=tuple(self.columns),
            unchanged=tuple(self.unchanged),
            originals=self.originals,
            remarks=tuple(f"{some(names)}: {text}" for text, names in self.remarks.items()),
        )


def some(names: Sequence[str], at_most: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more:,} more" if more > 0 else "")


def suffix(path: str) -> str:
    """Return the ending that names the format, before any that names the compression."""
    name = Path(path)
    return Path(name.stem).suffix.lower() if name.suffix.lower() in COMPRESSED else name.suffix.lower()


def _in_newest_days(fs: fsspec.AbstractFileSystem, base: str, pattern: str, days: int) -> list[str]:
    """Return the matching files in the folders of the newest day there is and the days before it."""
    steps = pattern.split("/")
    fixed = next((i for i, step in enumerate(steps) if glob.has_magic(step)), len(steps) - 1)
    top = "/".join([base, *steps[:fixed]])
    found: list[str] = []
    newest: date | None = None
    for year in _numbered(fs, top, r"\d{4}"):
        for month in _numbered(fs, year, r"\d\d"):
            for folder in _numbered(fs, month, r"\d\d"):
                try:
                    day = date.fromisoformat("-".join(folder.rsplit("/", 3)[1:]))
                except ValueError:
                    continue
                newest = newest or day
                if day <= newest - timedelta(days=days):
                    return found
                found += fs.glob(f"{glob.escape(folder)}/**/{steps[-1]}")
    return found


def _numbered(fs: fsspec.AbstractFileSystem, folder: str, form: str) -> list[str]:
    """Return the folders whose names are numbers of a form, the highest first."""
    inside = [entry["name"].rstrip("/") for entry in fs.ls(folder, detail=True) if entry["type"] == "directory"]
    return sorted((name for name in inside if re.fullmatch(form, name.rsplit("/", 1)[-1])), reverse=True)
