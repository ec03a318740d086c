"""Files written whole or not at all, and locks that end with their process."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from lib.base.errors import LakeLockedError

PROJECT = Path(__file__).resolve().parents[2]

#: What scratch folders are made for; each is named after it.
Purpose = Literal["ingest", "lookup", "export", "mail", "standardize"]
PURPOSES: tuple[str, ...] = get_args(Purpose)
#: Linux's request to let a file share another one's blocks until either is written to.
_FICLONE = 0x40049409


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader finds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextlib.contextmanager
def scratch_folder(where: Path, purpose: Purpose) -> Iterator[Path]:
    """Make a folder for the time being, named after its purpose; what cannot be removed stays for the next clearing."""
    folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clone_folder(source: Path, target: Path) -> None:
    """Copy a folder's files: as copy-on-write clones where the file system has them, else byte by byte."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in source.iterdir():
        if not path.is_file():
            continue
        with path.open("rb") as old, (target / path.name).open("wb") as new:
            try:
                fcntl.ioctl(new, _FICLONE, old.fileno())
            except OSError:
                shutil.copyfile(path, target / path.name)


def is_locked(path: Path) -> bool:
    """Whether a process that lives holds the lock of `file_lock`."""
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def file_lock(path: Path, wait_seconds: float, message: str) -> Iterator[None]:
    """Hold an exclusive lock that the operating system frees when the process ends, however it ends."""
    import tenacity

    path.parent.mkdir(parents=True, exist_ok=True)
    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BlockingIOError),
        stop=tenacity.stop_after_delay(wait_seconds),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    with path.open("a+") as file:
        try:
            tries(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LakeLockedError(f"{message} Wait for it to end, then try again.") from None
        yield
