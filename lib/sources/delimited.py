"""Text in lines: its encoding, its records without the malformed lines, and forms that become delimited text.

What DuckDB reads is text in UTF-8 with one kind of line end; here a file is checked for that, or rewritten.
"""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
#: Between the cells of text that is made from another form: it occurs in no text.
SEPARATOR = "\x1f"
_CHUNK = 1 << 20
_HEADER = 1 << 16
UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
#: DuckDB's limit for a line; and how many lines one quoted value may go over in a file with malformed lines.
_LONGEST_LINE = 2_000_000
_LONGEST_VALUE = 1_000
_OPEN = "a quote that is not closed"
#: What stands below the records of an export, after a blank line or in these words; and how many lines of it may.
_FOOTER = re.compile(
    r"\d* ?\(?(rows?|records?|record\(s\)|entries|datens[aä]tze|zeilen|lignes|filas)\b|end of|ende|seller|report"
    r"|generated|exported|created by|downloaded|(sub|grand )?totals?\b|summe|gesamt|source:|quelle:|note:|\*|copyright",
    re.IGNORECASE,
)
_LONGEST_FOOTER = 20


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
    elif 3 * start.count(0) > len(start):
        # Without its mark: text in the Latin alphabet has a zero in every second byte.
        candidates = ["utf-16-le" if start[1:2] == b"\0" else "utf-16-be"]
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
        return head, encoding.removesuffix("-sig"), in_place
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


def write_utf8(path: Path, target: Path, encoding: str, first_line: int, form: Callable[[str], str] | None) -> None:
    """Write the file's text as UTF-8 with `\\n` line ends, from a line (counted from 0) that is not blank.

    `form` makes delimited text of whole lines in another form.
    """
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with open_bytes(path) as file, target.open("w", encoding="utf-8", newline="\n") as out:
        text = io.TextIOWrapper(file, encoding=encoding, newline=None)
        for _ in range(first_line):
            text.readline()
        start = next((line for line in text if line != "\n"), "")
        if form is None:
            out.write(start)
            shutil.copyfileobj(text, out, _CHUNK)
            return
        while start:
            out.write(form(start))
            start = text.read(_CHUNK)
            start += text.readline() if start else ""


@dataclass(frozen=True)
class Records:
    """A copy of a file's records, the number (1 for the first record), text and fault of each malformed line, and the
    lines below the records that are none."""

    path: Path
    malformed: tuple[tuple[int, str, str], ...]
    footer: tuple[str, ...]


def split_records(
    path: Path, width: int, delimiter: str, quote: str, scratch: Path, first: int, may_be_short: bool
) -> Records:
    """Copy the records of a UTF-8 file without its malformed lines and its footer; `first` is the first line's number.

    A line that opens a quote which no later line closes well is malformed itself, and the next one is read on its own.
    """
    copy = scratch / "records" / path.name
    while copy.exists():
        copy = copy.with_name("_" + copy.name)
    copy.parent.mkdir(exist_ok=True)
    malformed: list[tuple[int, str, str]] = []
    number, last_record, gap = first, 0, 0
    with (
        path.open(encoding="utf-8-sig", newline=None) as lines,
        copy.open("w", encoding="utf-8", newline="\n") as out,
    ):
        waiting: list[str] = []
        while line := waiting.pop(0) if waiting else lines.readline():
            # A line of nothing but separators is as blank as one without.
            if not line.strip(f"{delimiter}{quote} \t\r\n"):
                gap = gap or number
                continue
            text, fault = line, _fault(line, width, delimiter, quote, may_be_short)
            ahead: list[str] = []
            while fault == _OPEN and len(ahead) < _LONGEST_VALUE and len(text) <= _LONGEST_LINE:
                following = waiting.pop(0) if waiting else lines.readline()
                if not following:
                    break
                ahead.append(following)
                text += following
                if quote in following:
                    fault = _fault(text, width, delimiter, quote, may_be_short)
            if fault:
                waiting = ahead + waiting
                malformed.append((number, line.rstrip("\n"), _OPEN if ahead else fault))
            else:
                out.write(text)
                last_record, gap = number, 0
            number += 1
    below = [found for found in malformed if found[0] > last_record]
    if last_record and _is_footer([line for _, line, _ in below], width, delimiter, gap == last_record + 1):
        return Records(copy, tuple(malformed[: len(malformed) - len(below)]), tuple(line for _, line, _ in below))
    return Records(copy, tuple(malformed), ())


def _is_footer(lines: list[str], width: int, delimiter: str, is_apart: bool) -> bool:
    """Return whether lines below the records are a footer, and no records that are damaged or cut off."""
    if not 0 < len(lines) <= _LONGEST_FOOTER or any(line.count(delimiter) + 1 >= width for line in lines):
        return False
    return is_apart or all(_FOOTER.match(line.strip(f'{delimiter}" ')) for line in lines)


def _fault(text: str, width: int, delimiter: str, quote: str, may_be_short: bool) -> str:
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
    return "" if found == width or (may_be_short and found < width) else f"{found} fields where the header has {width}"


def separated(line_form: str | tuple[tuple[int, int], ...]) -> Callable[[str], str]:
    """Return what makes delimited text, with SEPARATOR, of lines in another form.

    The form is `whitespace`, or the first and last position of each field, counted from 1; the last may be 0 for the
    line's end. Lines that only rule off, such as `----- ---`, become blank.
    """
    if line_form == "whitespace":
        return _of_blanks
    places = [place for place in line_form if not isinstance(place, str)]
    pattern, at = "", 0
    for first, last in places:
        pattern += f".{{0,{first - 1 - at}}}" + (f"(.{{0,{last - first + 1}}})" if last else "(.*)")
        at = last
    line, cells = re.compile(f"(?m)^{pattern}.*$"), SEPARATOR.join(f"\\{n}" for n in range(1, len(places) + 1))
    around = re.compile(f" *{SEPARATOR} *")
    return lambda text: _RULE.sub("", around.sub(SEPARATOR, line.sub(cells, text)))


_RULE = re.compile(
    f"(?m)^[ +|{SEPARATOR}]*-{{3}}[-+| {SEPARATOR}]*$|^[ {SEPARATOR}]*={{3}}[= {SEPARATOR}]*$|^[ {SEPARATOR}]+$"
)
_AROUND = re.compile(r"(?m)^[ \t]+|[ \t]+$")
_BLANKS = re.compile(r"[ \t]+")
_BLANKS_AND_QUOTED = re.compile(r"(\"[^\"\n]*\")|[ \t]+")


def _of_blanks(text: str) -> str:
    text = _AROUND.sub("", text)
    if '"' in text:
        text = _BLANKS_AND_QUOTED.sub(lambda found: found[1] or SEPARATOR, text)
    else:
        text = _BLANKS.sub(SEPARATOR, text)
    return _RULE.sub("", text)
