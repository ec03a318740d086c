"""Files written whole or not at all, and locks that end with their process."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lib.base.errors import LakeLockedError

PROJECT = Path(__file__).resolve().parents[2]


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
def scratch_folder(where: Path, purpose: str) -> Iterator[Path]:
    """Make a folder for the time being, named after its purpose; what cannot be removed stays for the next clearing."""
    folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
