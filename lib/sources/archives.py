"""ZIP archives: the files in them, each of which is read like any other, as `archive.zip/member.csv`."""

import fnmatch
import hashlib
import shutil
import zipfile
from pathlib import Path

from lib.sources.delimited import Unusable

#: What an archive's files may come to unpacked: more is refused, and so is much more than its own size.
MOST_BYTES, SUSPECT_BYTES, MOST_TIMES = 20 << 30, 1 << 30, 200
_CHUNK = 1 << 20


def members(archive: Path, pattern: str) -> list[zipfile.ZipInfo]:
    """Return the files in an archive that match a pattern, in the order of their names; hidden ones do not count.

    Raises Unusable where it is no archive, has a password, or would grow out of all proportion.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            found = [info for info in opened.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Unusable(f"is no readable ZIP archive: {error}") from None
    total, own = sum(info.file_size for info in found), archive.stat().st_size
    if total > MOST_BYTES or (total > SUSPECT_BYTES and total > MOST_TIMES * own):
        raise Unusable(
            f"would come to {total:,} bytes from {own:,}; at most {MOST_BYTES:,} bytes are unpacked, and beyond"
            f" {SUSPECT_BYTES:,} no more than {MOST_TIMES} times the archive. Unpack it where it is"
        )
    if locked := [info.filename for info in found if info.flag_bits & 1]:
        raise Unusable(f"has a password ({locked[0]!r} is encrypted); unpack it where it is")
    return sorted((i for i in found if _matches(i.filename, pattern)), key=lambda info: info.filename)


def unpacked(archive: Path, member: zipfile.ZipInfo, folder: Path) -> Path:
    """Unpack a file of an archive into a folder of its own; raise Unusable where it is damaged, or not what it says."""
    # Not below its own name, which may lead anywhere.
    own = folder / hashlib.sha256(f"{archive}/{member.filename}".encode()).hexdigest()[:16]
    own.mkdir(parents=True, exist_ok=True)
    target = own / (Path(member.filename).name or "member")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out, _CHUNK)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, RuntimeError) as error:
        raise Unusable(f"cannot be unpacked: {error}") from None
    return target


def _is_hidden(name: str) -> bool:
    return any(step == "__MACOSX" or step.startswith(".") for step in name.split("/"))


def _matches(name: str, pattern: str) -> bool:
    return (
        pattern in ("*", "**/*") or fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(Path(name).name, pattern)
    )
