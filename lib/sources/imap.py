"""IMAP: which messages a mailbox has, and their bytes; read-only, by UID, in batches, with a new try after a break.

Nothing on the server changes: the mailbox is examined, and bodies are peeked at.
"""

import base64
import contextlib
import functools
import imaplib
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lib.base.errors import SourceError
from lib.base.secrets import mask

TIMEOUT_SECONDS, TRIES, FIRST_WAIT_SECONDS = 60, 3, 0.5
#: Messages asked for at once, and how many UIDs a search spans: an answer must fit imaplib's limit of a line.
BATCH, SPAN = 100, 50_000
_LOCAL = ("localhost", "127.0.0.1", "::1")
_UID = re.compile(rb"\bUID (\d+)")


@dataclass(frozen=True)
class Address:
    """Where a mailbox is and who reads it."""

    host: str
    port: int
    user: str
    password: str
    mailbox: str
    is_encrypted: bool

    @property
    def place(self) -> str:
        scheme = "imaps" if self.is_encrypted else "imap"
        return f"{scheme}://{self.user}@{self.host}:{self.port}/{self.mailbox}"


def address(url: str, password: str) -> Address:
    """Return the parts of imap[s]://user@host:port/MAILBOX; raise ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("imap", "imaps") or not parts.hostname or not parts.username:
        raise ValueError(f"expected imaps://user@host/INBOX, found {mask(url)}")
    return Address(
        host=parts.hostname,
        port=parts.port or (993 if parts.scheme == "imaps" else 143),
        user=unquote(parts.username),
        password=password or unquote(parts.password or ""),
        mailbox=unquote(parts.path.strip("/")) or "INBOX",
        is_encrypted=parts.scheme == "imaps",
    )


class Mailbox:
    """A mailbox on a server, connected to when first asked."""

    def __init__(self, place: Address) -> None:
        self.address = place
        self.validity = 0
        self._next = 0
        self._client: imaplib.IMAP4 | None = None

    def names(self) -> dict[str, int]:
        """Return the UID of each message by a name that is its own for ever: UIDVALIDITY/UID, in order of arrival."""
        uids = self._again(self._search)
        return {f"{self.validity:010d}/{uid:010d}": uid for uid in uids}

    def fetch(self, wanted: dict[str, int], folder: Path, progress: Callable[[str], None]) -> dict[str, Path]:
        """Bring messages into files of the folder and return those by name; one gone meanwhile is left out."""
        names = {uid: name for name, uid in wanted.items()}
        uids, validity, found = sorted(names), self.validity, {}
        for start in range(0, len(uids), BATCH):
            progress(f"fetching message {start + 1:,} of {len(uids):,}")
            some = uids[start : start + BATCH]
            for uid, content in self._again(functools.partial(_bodies, uids=some)):
                if uid in names:
                    found[names[uid]] = folder / f"{validity}-{uid}.eml"
                    found[names[uid]].write_bytes(content)
            if self.validity != validity:
                raise SourceError(f"{self.address.place} was made anew while it was read. Run again.")
        return found

    def close(self) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                self._client.logout()
            self._client = None

    def _search(self, client: imaplib.IMAP4) -> list[int]:
        uids: set[int] = set()
        for first in range(1, max(self._next, 2), SPAN):
            last = str(first + SPAN - 1) if self._next else "*"
            answer = _done(client.uid("SEARCH", f"UID {first}:{last}"), "SEARCH")
            uids.update(int(word) for line in answer if line for word in line.split())
        return sorted(uids)

    def _again(self, ask: Callable[[imaplib.IMAP4], Any]) -> Any:
        """Ask, on a new connection where the present one breaks; raise SourceError when that does not help."""
        for number in range(1, TRIES + 1):
            try:
                if self._client is None:
                    self._client = self._connected()
                return ask(self._client)
            except (OSError, imaplib.IMAP4.abort) as error:
                self.close()
                if isinstance(error, ssl.SSLCertVerificationError) or number == TRIES:
                    raise SourceError(
                        f"{self.address.place} cannot be reached ({_said(error)}). Check 'url' of this source, and that"
                        " the mail server is up and this machine may connect to it."
                    ) from None
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (number - 1))
            except imaplib.IMAP4.error as error:
                self.close()
                raise SourceError(
                    f"{self.address.place} refused a request ({_said(error)}). Check the mailbox's name and its rights."
                ) from None
        raise AssertionError("the last try raises or returns")

    def _connected(self) -> imaplib.IMAP4:
        at = self.address
        client: imaplib.IMAP4
        if at.is_encrypted:
            client = imaplib.IMAP4_SSL(
                at.host, at.port, ssl_context=ssl.create_default_context(), timeout=TIMEOUT_SECONDS
            )
        else:
            client = imaplib.IMAP4(at.host, at.port, timeout=TIMEOUT_SECONDS)
            if "STARTTLS" in client.capabilities:
                client.starttls(ssl.create_default_context())
            elif at.host not in _LOCAL:
                client.shutdown()
                raise SourceError(
                    f"{at.place} offers no encryption, and the password would be sent in the clear. Use imaps://."
                )
        try:
            client.login(at.user, at.password)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            client.shutdown()
            raise SourceError(
                f"{at.place} refused the login of {at.user!r} ({_said(error, at.password)}). Check the user in 'url'"
                " and the environment variable that 'password' of this source names."
            ) from None
        try:
            _done(client.select(_quoted(at.mailbox), readonly=True), "EXAMINE")
            self.validity = _number(client, "UIDVALIDITY")
            self._next = _number(client, "UIDNEXT")
        except imaplib.IMAP4.error:
            client.shutdown()
            raise
        return client


def _bodies(client: imaplib.IMAP4, uids: Sequence[int]) -> list[tuple[int, bytes]]:
    found = []
    answer = _done(client.uid("FETCH", ",".join(map(str, uids)), "(UID BODY.PEEK[])"), "FETCH")
    for number, item in enumerate(answer):
        if not isinstance(item, tuple):
            continue
        behind = answer[number + 1] if number + 1 < len(answer) else b""
        # The UID may stand before the body or behind it.
        uid = _UID.search(item[0]) or (_UID.search(behind) if isinstance(behind, bytes) else None)
        if uid:
            found.append((int(uid[1]), item[1]))
    return found


def _done(answer: tuple[str, list[Any]], command: str) -> list[Any]:
    state, content = answer
    if state != "OK":
        raise imaplib.IMAP4.error(f"{command}: {_text(content[0] if content else '')}")
    return content


def _number(client: imaplib.IMAP4, name: str) -> int:
    _, values = client.response(name)
    text = _text(values[-1]) if values and values[-1] else ""
    return int(text) if text.isdigit() else 0


def _quoted(mailbox: str) -> str:
    """Return a mailbox's name as IMAP writes it: in quotes, and what is not ASCII in its own kind of base64."""

    def coded(match: re.Match[str]) -> str:
        if match[0] == "&":
            return "&-"
        return "&" + base64.b64encode(match[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"

    text = re.sub(r"&|[^\x20-\x7e]+", coded, mailbox)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _said(error: BaseException, password: str = "") -> str:
    """Return what an error says in one line, without the password."""
    text = _text(error.args[0]) if len(error.args) == 1 else str(error)
    text = text.replace(password, "***") if password else text
    return mask(" ".join(text.split())) or type(error).__name__
