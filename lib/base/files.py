"""Files written whole or not at all, and locks that end with their process."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lib.base.errors import LakeError

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
def file_lock(path: Path, wait_seconds: float, message: str) -> Iterator[None]:
    """Hold an exclusive lock that the operating system frees when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LakeError(f"{message} Wait for it to end, then try again.") from None
                time.sleep(0.2)
        yield
