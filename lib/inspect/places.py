"""Where an entity lies: the folder, table or sheet, and the pattern that names its files and no others."""

import fnmatch
import glob
import os
import re
from collections.abc import Sequence
from typing import Any

from lib.inspect.documents import Document
from lib.inspect.groups import Drafted, Group


def place_of(members: Sequence[Group]) -> dict[str, Any]:
    first = members[0].first
    if first.kind == "database":
        return {"path": first.place} if first.place.startswith("/") else {"url": first.place}
    folders = {d.folder for group in members for d in group.documents}
    return {"path": os.path.commonpath(folders)}


def entity_place(group: Group) -> dict[str, Any]:
    if group.first.kind != "database":
        sheet = {"sheet": group.first.sheet} if group.first.sheet else {}
        return {"files": group.first.name, **sheet, **group.first.reading}
    keys = group.first.keys
    place: dict[str, Any] = {"table": group.first.name}
    if keys != ("id",):
        place["id"] = keys[0] if len(keys) == 1 else list(keys)
    names = set(group.first.names)
    if "updated_at" not in names:
        place["updated_at"] = ""
    return place


def set_patterns(drafted: Drafted, rates: Sequence[Document]) -> None:
    """Let each entity of files read its own files and, as far as names show it, those that come later."""
    files = {d.place for group in drafted.groups.values() for d in group.documents if d.kind != "database"}
    files |= {d.place for d in (*drafted.unread, *rates)}
    for (source, entity), group in drafted.groups.items():
        if group.first.kind == "database":
            continue
        draft = drafted.draft.sources[source]
        base = draft.where["path"]
        inside = sorted(
            os.path.relpath(place, base) for place in files if not os.path.relpath(place, base).startswith("..")
        )
        own = sorted(os.path.relpath(document.place, base) for document in group.documents)
        pattern = _pattern(own, inside)
        if pattern:
            draft.entities[entity].place["files"] = pattern
        else:
            draft.entities[entity].place["files"] = glob.escape(own[0])
            draft.entities[entity].doubts.append(
                f"no pattern names these files and no others: {', '.join(own)}. Put them into a folder of their own;"
                " until then only the first is read"
            )


def _pattern(own: Sequence[str], inside: Sequence[str]) -> str:
    """Return the pattern that matches one entity's files and no other, empty where there is none."""
    tried = []
    starts = _common_start([name.rsplit("/", 1)[-1] for name in own])
    endings = {re.sub(r"^.*?((?:\.[A-Za-z][A-Za-z0-9]{1,7})+)$", r"\1", name) for name in own}
    ending = endings.pop() if len(endings) == 1 else ".*"
    folders = {name.rpartition("/")[0] for name in own}
    folder = f"{folders.pop()}/" if len(folders) == 1 else "**/"
    folder = "" if folder == "/" else folder
    stem = re.sub(
        r"[-_ .]*\(?\d[\d_. -]*.*$", "", starts if len(own) > 1 else own[0].rsplit("/", 1)[-1].removesuffix(ending)
    )
    if len(own) == 1:
        if stem and stem != own[0].rsplit("/", 1)[-1].removesuffix(ending):
            tried.append(f"{folder}{stem}*{ending}")
        tried.append(glob.escape(own[0]))
    else:
        # What comes between the words and the number: an underscore, say.
        between = re.sub(r"\d.*$", "", starts) or stem
        starting = dict.fromkeys(s for s in (stem, between, f"{between}[0-9]", starts) if s)
        tried += [f"{folder}{start}*{ending}" for start in starting]
        tried.append(f"{folder}*{ending}")
    for pattern in tried:
        if [name for name in inside if _matches(name, pattern)] == list(own):
            return pattern
    return ""


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    return first[: next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))]


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], pattern[3:])
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)
