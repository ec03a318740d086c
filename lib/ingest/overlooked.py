"""What lies among a source's files and nobody reads: files of an ending no reader knows, and those no entity names.

A file that another source reads is not overlooked, nor what the shop keeps there itself: its lake, its reports, its
exchange rates. Streams (`events`) are not looked through: their folders hold too many files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import fsspec

from lib.base.files import PROJECT
from lib.settings import Settings
from lib.sources.files import ENDINGS
from lib.sources.listing import some, suffix

#: So many files below a path are looked at.
MOST = 10_000

#: Hidden files, and what systems and programs leave behind, are nobody's data.
_NOBODYS = re.compile(
    r"\..*|~\$.*|_SUCCESS|_(common_)?metadata|_(started|committed)_.*|Thumbs\.db|desktop\.ini", re.IGNORECASE
)


@dataclass(frozen=True)
class _Place:
    """A source's folder and the patterns of the files in it that its entities read."""

    source: str
    kind: str
    fs: fsspec.AbstractFileSystem
    folder: str
    patterns: tuple[str, ...]

    def is_named(self, name: str) -> bool:
        """Return whether an entity names a file, by its name below the folder."""
        above = {name[: slash.start()] for slash in re.finditer("/", name)}
        for pattern in self.patterns:
            # Of what is in an archive the archive is the file.
            archive, inside, _ = pattern.partition(".zip/")
            if pattern.rstrip("/") in above or re.match(_regular(archive + ".zip" if inside else pattern), name):
                return True
        return False


@cache
def _regular(pattern: str) -> str:
    """Return a pattern of names as a regular expression."""
    return str(fsspec.utils.glob_translate(pattern))


def overlooked(settings: Settings) -> list[tuple[str, str, str]]:
    """Return what nobody reads, a row (source, entity, sentence) a reason."""
    places = list(_places(settings))
    own = _own(settings)
    found: list[tuple[str, str, str]] = []
    for place in places:
        if place.kind != "files":
            continue
        unnamed, unread = [], []
        for path in islice(_files_below(place.fs, place.folder), MOST):
            name = path.removeprefix(f"{place.folder}/")
            last = name.rsplit("/", 1)[-1]
            if _NOBODYS.fullmatch(last) or path in own or any(path.startswith(f"{folder}/") for folder in own):
                continue
            if place.is_named(name):
                if suffix(name) not in ENDINGS or last.startswith("_"):
                    unread.append(name)
            elif not any(
                path.startswith(f"{other.folder}/") and other.is_named(path.removeprefix(f"{other.folder}/"))
                for other in places
                if other is not place
            ):
                unnamed.append(name)
        if unread:
            known = " ".join(ENDINGS)
            why = f"a reader knows {known}, and no names that begin with _"
            found.append((place.source, "", f"not read though 'files' names it: {some(unread, 5)}; {why}"))
        if unnamed:
            found.append((place.source, "", f"not read, as no entity's 'files' names it: {some(unnamed, 5)}"))
    return found


def _places(settings: Settings) -> Iterator[_Place]:
    for name, source in settings.config.sources.items():
        specs = [s for own in source.entities.values() for s in (own, *map(own.table_of, own.lookups.values()))]
        patterns = tuple(pattern for spec in specs if (pattern := getattr(spec, "files", "")))
        path = getattr(source, "path", "")
        if not patterns or not path:
            continue
        try:
            url = path if "://" in path else str((PROJECT / Path(path).expanduser()).resolve())
            fs, root = fsspec.core.url_to_fs(url)
            if fs.isdir(root):
                yield _Place(name, source.kind, fs, root.rstrip("/"), patterns)
        except (OSError, ValueError, ImportError):
            # The source itself fails, and says so.
            continue


def _files_below(fs: fsspec.AbstractFileSystem, folder: str) -> Iterator[str]:
    for at, folders, names in fs.walk(folder, detail=True):
        # Not into hidden folders, such as `.git`.
        for hidden in [f for f in folders if f.startswith(".") or f == "__MACOSX"]:
            del folders[hidden]
        yield from (f"{at.rstrip('/')}/{name}" for name in sorted(names))


def _own(settings: Settings) -> set[str]:
    """Return the files and folders of the shop's that may lie among a source's files."""
    given = settings.shop.exchange_rates
    rates = [(PROJECT / Path(given).expanduser()).resolve()] if given else []
    return {str(path) for path in (settings.data_dir, settings.output_dir, *rates)}
