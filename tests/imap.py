"""A real IMAP server (pymap) on loopback over a Maildir of its own; no part of the project."""

import contextlib
import mailbox
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pysasl.hashing import BuiltinHash

USER, PASSWORD = "orders@stores.example", "correct horse"


@dataclass
class ImapServer:
    """Where the server is; `deliver` gives its mailbox a message."""

    port: int
    base: Path

    @property
    def url(self) -> str:
        return f"imap://{USER.replace('@', '%40')}@127.0.0.1:{self.port}/INBOX"

    def deliver(self, content: bytes) -> None:
        mailbox.Maildir(self.base / "box", factory=None).add(content)

    def flags(self) -> list[str]:
        """Return the names of all messages in the mailbox's files, which tell who has seen what."""
        return sorted(p.name.partition(":")[2] for part in ("new", "cur") for p in (self.base / "box" / part).iterdir())


@contextlib.contextmanager
def imap_server(base: Path) -> Iterator[ImapServer]:
    """Run a server with one user and an empty mailbox."""
    base.mkdir(parents=True)
    mailbox.Maildir(base / "box", factory=None)
    (base / "pymap-etc-passwd").write_text(f"{USER}:x::::box:\n")
    hashed = BuiltinHash(rounds=1).hash(PASSWORD)
    (base / "pymap-etc-shadow").write_text(f"{USER}:{hashed}:::::::\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["--host", "127.0.0.1", "--port", str(port), "--no-tls", "maildir", str(base)]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from pymap.main import main; main()", *command], stdout=log, stderr=log
        )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None:
                raise RuntimeError((base / "log").read_text())
            time.sleep(0.05)
        yield ImapServer(port, base)
    finally:
        process.terminate()
        process.wait(timeout=10)
