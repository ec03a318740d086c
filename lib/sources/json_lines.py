"""JSON lines: a file's content as lines, what an object's shape says about columns, and what is wrong with a line.

Nothing here knows of sources and batches; see `events`.
"""

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from lib.sources.delimited import UNREADABLE, Unusable, open_bytes

#: How much text is read at a time from a file that is not read at once, and from what size on disk that is so.
PIECE_BYTES, LARGE_BYTES = 64 << 20, 8 << 20
_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
#: Columns of the lake's own.
_RESERVED = ("_file", "_row", "_path")
_BOM = b"\xef\xbb\xbf"
#: A number that a double might not hold; and, to leave alone what is within a text, any text before it.
LONG_NUMBER = r"[:\[,]\s*-?\d[\d.]{15}"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.]{15,}(?:[eE][+-]?\d+)?')

Steps = tuple[str, ...]


def whole(name: str, data: bytes) -> bytes:
    """Return the lines in a small file's bytes; raise Unusable where they are damaged or end too soon."""
    if not data:
        raise Unusable("the file is empty; expected lines of JSON")
    unpack = _UNPACK.get(Path(name).suffix.lower())
    if unpack:
        try:
            data = unpack(data)
        except (*UNREADABLE, ValueError) as error:
            raise Unusable(f"cannot be read to its end: {error}") from None
    return _as_lines(data)


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file in pieces that end where a line does.

    The first one comes only when the file was found readable to its end; raises Unusable where it is not.
    """
    try:
        with open_bytes(path) as file:
            while file.read(PIECE_BYTES):
                pass
        with open_bytes(path) as file:
            rest, is_first = b"", True
            while block := file.read(PIECE_BYTES):
                end = block.rfind(b"\n") + 1
                if end:
                    yield _as_lines(rest + block[:end]) if is_first else rest + block[:end]
                    rest, is_first = block[end:], False
                else:
                    rest += block
            if rest:
                yield _as_lines(rest) if is_first else rest
    except UNREADABLE as error:
        raise Unusable(f"cannot be read to its end: {error}") from None


def _as_lines(data: bytes) -> bytes:
    """Return a line an object; a document over several lines, or a list of objects, is laid out as such."""
    data = data.removeprefix(_BOM)
    start = data.lstrip()[:1]
    first = data.lstrip().split(b"\n", 1)[0].strip()
    if start == b"[" or (start == b"{" and not first.endswith(b"}")):
        try:
            return "\n".join(_objects(data.decode())).encode()
        except ValueError:
            return data
    return data


def _objects(text: str) -> Iterator[str]:
    """Yield the objects of a list, or those that follow one another, each as one line, its values as they were."""
    decode, space = json.JSONDecoder().raw_decode, re.compile(r"\s*")
    at = space.match(text).end()  # type: ignore[union-attr]
    in_list = text[at] == "["
    if in_list:
        decode(text, at)
        at = space.match(text, at + 1).end()  # type: ignore[union-attr]
    while at < len(text) and text[at] != "]":
        _, end = decode(text, at)
        # Within JSON a line break is never part of a value.
        yield text[at:end].replace("\r", " ").replace("\n", " ")
        at = space.match(text, end).end()  # type: ignore[union-attr]
        if in_list and text[at : at + 1] == ",":
            at = space.match(text, at + 1).end()  # type: ignore[union-attr]


def undecodable(data: bytes) -> tuple[bytes, list[int]]:
    """Return the lines as valid UTF-8, and the positions of those that were not."""
    try:
        data.decode()
    except UnicodeDecodeError:
        pass
    else:
        return data, []
    lines, wrong = data.split(b"\n"), []
    for number, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError:
            wrong.append(number)
            lines[number] = line.decode(errors="replace").encode()
    return b"\n".join(lines), wrong


def keep_digits(line: str) -> str:
    """Return the line with long numbers as texts, so that no digit of them is lost in a double."""
    return _TOKEN.sub(lambda found: found[0] if found[0][0] == '"' else f'"{found[0]}"', line)


def fault(line: str) -> str:
    """Return what is wrong with a line that is no JSON object in UTF-8."""
    words = {list: "a list", str: "a text", bool: "true or false", type(None): "null", int: "a number"}
    try:
        value = json.loads(line)
    except ValueError as error:
        if not isinstance(error, json.JSONDecodeError):
            return f"no JSON: {error}"
        return f"no JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return "no JSON that can be read: too deeply nested"
    if isinstance(value, dict):
        return "no JSON: a text in it is not valid Unicode"
    return f"{words.get(type(value), 'a number')}, and no JSON object"


@cache
def leaves(shape: str) -> tuple[Steps, ...]:
    """Return the path to each value that is no object, from an object's shape as DuckDB's json_structure tells it."""
    return tuple(_leaves(json.loads(shape), ()))


def _leaves(shape: dict[str, object], above: Steps) -> Iterator[Steps]:
    for key, value in shape.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)


def pointer(path: Steps) -> str:
    """Return a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def name_columns(paths: Iterable[Steps], expected: Iterable[str], known: dict[Steps, str]) -> None:
    """Name the paths that `known` does not: steps joined by dots, each name unique whatever its case.

    An expected name belongs to the path that is spelled so.
    """
    names = set(expected)
    used = {name.lower() for name in (*known.values(), *names, *_RESERVED)}
    for path in paths:
        if path in known:
            continue
        name = candidate = ".".join(path) or "unnamed"
        copy = 2
        while candidate.lower() in used and not (candidate in names and candidate not in known.values()):
            candidate, copy = f"{name}_{copy}", copy + 1
        known[path] = candidate
        used.add(candidate.lower())
