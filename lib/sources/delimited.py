"""Delimited text: its encoding, its header, and its records without the malformed lines.

What DuckDB reads is text in UTF-8 with one kind of line end; here a file is checked for that, or rewritten.
"""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_HEADER = 1 << 16
UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
#: DuckDB's limit for a line; and how many lines one quoted value may go over in a file with malformed lines.
_LONGEST_LINE = 2_000_000
_LONGEST_VALUE = 1_000
_OPEN = "a quote that is not closed"


class Unusable(Exception):  # noqa: N818
    """Why one file cannot be used."""


def open_bytes(path: Path) -> BinaryIO:
    opened: BinaryIO = COMPRESSED.get(path.suffix.lower(), open)(path, "rb")
    return opened


def text_of(path: Path, wanted: str) -> tuple[str, str, bool]:
    """Return the first characters, the encoding, and whether DuckDB can read the file where it is."""
    try:
        with open_bytes(path) as file:
            start = file.read(_HEADER)
    except UNREADABLE as error:
        raise Unusable(f"cannot be read: {error}") from None
    if wanted != "auto":
        candidates = ["utf-8-sig" if codecs.lookup(wanted).name == "utf-8" else wanted]
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "cp1252"]
    problems = []
    for encoding in candidates:
        try:
            head, is_plain = _decodes(path, encoding)
        except UnicodeDecodeError as error:
            byte = error.object[error.start : error.start + 1].hex()
            problems.append(f"byte 0x{byte} is no {encoding.removesuffix('-sig')}")
            continue
        except UnicodeError as error:
            problems.append(str(error))
            continue
        except UNREADABLE as error:
            raise Unusable(f"cannot be read to its end: {error}") from None
        in_place = encoding == "utf-8-sig" and path.suffix.lower() not in COMPRESSED and is_plain
        if not head.strip():
            raise Unusable("the file is empty; expected a header line and rows")
        return head.lstrip("\r\n"), encoding.removesuffix("-sig"), in_place
    hint = " Set 'encoding' of this source, for example to cp1252." if wanted != "auto" else ""
    raise Unusable(f"wrong encoding: {'; '.join(problems)}.{hint}")


def _decodes(path: Path, encoding: str) -> tuple[str, bool]:
    """Decode the whole file in pieces; return its start, and whether it begins at once and has one kind of line end."""
    decoder = codecs.getincrementaldecoder(encoding)()
    head, crlf, lf, cr = "", 0, 0, 0
    last = ""
    with open_bytes(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            text = decoder.decode(chunk, final=not chunk)
            if len(head) < _HEADER:
                head += text[: _HEADER - len(head)]
            crlf += text.count("\r\n") + (last == "\r" and text[:1] == "\n")
            lf += text.count("\n")
            cr += text.count("\r")
            last = text[-1:] or last
            if not chunk:
                return head, head[:1] not in ("\r", "\n") and (lf == crlf == cr or 0 in (lf, cr))


def write_utf8(path: Path, target: Path, encoding: str) -> None:
    """Write the file's text as UTF-8 with `\\n` line ends, from its first line that is not blank."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with open_bytes(path) as file, target.open("w", encoding="utf-8", newline="\n") as out:
        text = io.TextIOWrapper(file, encoding=encoding, newline=None)
        out.write(next((line for line in text if line != "\n"), ""))
        shutil.copyfileobj(text, out, _CHUNK)


def read_header(text: str, expected: set[str], wanted: str, quote: str) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter and the column names, each of them unique whatever its case.

    Where the delimiter is wanted `auto`, it is the one that shows the most of the expected columns.
    """

    def parsed(delimiter: str) -> list[str]:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        lines = io.StringIO(text, newline="")
        try:
            return next(csv.reader(lines, delimiter=delimiter, quotechar=quote or None, quoting=quoting), [])
        except (csv.Error, TypeError, ValueError) as error:
            raise Unusable(f"the header cannot be read with delimiter {delimiter!r}: {error}") from None

    candidates = _DELIMITERS if wanted == "auto" else (wanted.replace("\\t", "\t"),)
    delimiter, names = max(
        ((d, parsed(d)) for d in candidates),
        key=lambda found: (len(expected.intersection(found[1])), len(found[1])),
    )
    unique: list[str] = []
    for position, name in enumerate(names, 1):
        candidate = name = name.strip() or f"column_{position}"
        used, copy = {u.lower() for u in unique}, 2
        while candidate.lower() in used:
            candidate, copy = f"{name}_{copy}", copy + 1
        unique.append(candidate)
    return delimiter, tuple(unique)


def split_records(
    path: Path, width: int, delimiter: str, quote: str, scratch: Path
) -> tuple[Path, tuple[tuple[int, str, str], ...]]:
    """Copy the records of a UTF-8 file, without its malformed lines.

    Returns the copy, and of each malformed line its number (1 for the first record), text and fault.

    A line that opens a quote which no later line closes well is malformed itself, and the next one is read on its own.
    """
    copy = scratch / "records" / path.name
    while copy.exists():
        copy = copy.with_name("_" + copy.name)
    copy.parent.mkdir(exist_ok=True)
    malformed: list[tuple[int, str, str]] = []
    number = 0
    with (
        path.open(encoding="utf-8-sig", newline=None) as lines,
        copy.open("w", encoding="utf-8", newline="\n") as out,
    ):
        waiting: list[str] = []
        while line := waiting.pop(0) if waiting else lines.readline():
            if line == "\n":
                continue
            text, fault = line, _fault(line, width, delimiter, quote)
            ahead: list[str] = []
            while fault == _OPEN and len(ahead) < _LONGEST_VALUE and len(text) <= _LONGEST_LINE:
                following = waiting.pop(0) if waiting else lines.readline()
                if not following:
                    break
                ahead.append(following)
                text += following
                if quote in following:
                    fault = _fault(text, width, delimiter, quote)
            if fault:
                waiting = ahead + waiting
                malformed.append((number, line.rstrip("\n"), _OPEN if ahead else fault))
            else:
                out.write(text)
            number += 1
    return copy, tuple(malformed)


def _fault(text: str, width: int, delimiter: str, quote: str) -> str:
    """Return what is wrong with the text of one record, or nothing."""
    if len(text.encode()) > _LONGEST_LINE:
        return f"a line of {len(text):,} characters; at most {_LONGEST_LINE:,} bytes can be read"
    if not quote or quote not in text:
        found = text.count(delimiter) + 1
    else:
        try:
            records = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, strict=True))
        except csv.Error as error:
            return _OPEN if "end of data" in str(error) else f"the quotes do not fit: {error}"
        if len(records) != 1:
            return "the quotes do not fit"
        found = len(records[0])
    return "" if found == width else f"{found} fields where the header has {width}"
