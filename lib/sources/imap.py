"""IMAP through IMAPClient: which messages a mailbox has, and their bytes; read-only, by UID, in batches.

Nothing on the server changes: the mailbox is examined, and bodies are peeked at. What they contain is read elsewhere.
"""

import contextlib
import operator
import ssl
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import tenacity
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError

from lib.base.errors import SourceError, SourceUnavailableError
from lib.base.secrets import mask

TIMEOUT_SECONDS, TRIES, FIRST_WAIT_SECONDS = 60, 3, 0.5
#: Messages asked for at once, and how many UIDs a search spans: an answer must fit imaplib's limit of a line.
BATCH, SPAN = 100, 50_000
_LOCAL = ("localhost", "127.0.0.1", "::1")
_UNTRUSTED = ssl.SSLCertVerificationError


def address(url: str) -> SplitResult:
    """Return the parts of imap[s]://user@host:port/MAILBOX; raise ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("imap", "imaps") or not parts.hostname or not parts.username:
        raise ValueError(f"expected imaps://user@host/INBOX, found {mask(url)}")
    return parts


class Mailbox:
    """A mailbox on a server, connected to when first asked; the messages fetched are files of `folder`."""

    def __init__(self, url: str, password: str, folder: Path) -> None:
        parts = address(url)
        self.folder, self.validity = folder, 0
        self.is_encrypted = parts.scheme == "imaps"
        self.host, self.port = parts.hostname or "", parts.port or (993 if self.is_encrypted else 143)
        self.user, self.password = unquote(parts.username or ""), password or unquote(parts.password or "")
        self.mailbox = unquote(parts.path.strip("/")) or "INBOX"
        self.place = f"{parts.scheme}://{self.user}@{self.host}:{self.port}/{self.mailbox}"
        self._client: IMAPClient | None = None
        self._next = 0

    @cached_property
    def names(self) -> list[str]:
        """The messages in order of arrival, each by a name that is its own for ever: UIDVALIDITY/UID."""
        return [f"{self.validity:010d}/{uid:010d}" for uid in self._ask(self._search)]

    def files(self, names: list[str], progress: Callable[[str], None]) -> dict[str, Path]:
        """Fetch messages and return their files by name; one that is gone meanwhile is left out."""
        found = {}
        for start in range(0, len(names), BATCH):
            progress(f"fetching message {start + 1:,} of {len(names):,}")
            uids = {int(name.partition("/")[2]): name for name in names[start : start + BATCH]}
            answer = self._ask(operator.methodcaller("fetch", list(uids), ["BODY.PEEK[]"]))
            if not names[start].startswith(f"{self.validity:010d}/"):
                raise SourceUnavailableError(f"{self.place} was made anew while it was read. Run again.")
            for uid, parts in answer.items():
                if b"BODY[]" in parts:
                    found[uids[uid]] = self.folder / f"{self.validity}-{uid}.eml"
                    found[uids[uid]].write_bytes(parts[b"BODY[]"])
        return found

    def is_same(self, name: str, sha256: str) -> bool:
        """Return true: under one UID a server never has another message."""
        return True

    def close(self) -> None:
        if self._client is not None:
            # Logs out, and closes a connection that is broken already.
            with self._client:
                self._client = None

    def _search(self, client: IMAPClient) -> list[int]:
        spans = [f"{first}:{first + SPAN - 1 if self._next else '*'}" for first in range(1, max(self._next, 2), SPAN)]
        return sorted({uid for span in spans for uid in client.search(["UID", span])})

    def _ask(self, request: Callable[[IMAPClient], Any]) -> Any:
        """Ask, on a new connection where the present one breaks; raise SourceError when that does not help."""
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((OSError, IMAPClientAbortError))
            & tenacity.retry_if_not_exception_type(_UNTRUSTED),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(FIRST_WAIT_SECONDS),
            before_sleep=lambda _: self.close(),
            reraise=True,
        )
        try:
            return tries(lambda: request(self._connection()))
        except (OSError, IMAPClientError) as error:
            self.close()
            what, check, kind = "refused a request", "the mailbox's name and its rights", SourceError
            if isinstance(error, OSError | IMAPClientAbortError):
                what = "cannot be reached"
                check = "'url' of this source, and that the mail server is up and this machine may connect to it"
                kind = SourceError if isinstance(error, _UNTRUSTED) else SourceUnavailableError
            raise kind(f"{self.place} {what} ({self._reason(error)}). Check {check}.") from None

    def _connection(self) -> IMAPClient:
        """Return a connection on which the mailbox is open for reading."""
        if self._client is None:
            with contextlib.ExitStack() as on_error:
                client = IMAPClient(self.host, self.port, ssl=self.is_encrypted, timeout=TIMEOUT_SECONDS)
                on_error.enter_context(client)
                if not self.is_encrypted and client.has_capability("STARTTLS"):
                    client.starttls()
                elif not self.is_encrypted and self.host not in _LOCAL:
                    raise SourceError(
                        f"{self.place} offers no encryption, and the password would be sent in the clear. Use imaps://."
                    )
                self._log_in(client)
                state = client.select_folder(self.mailbox, readonly=True)
                self.validity, self._next = state.get(b"UIDVALIDITY", 0), state.get(b"UIDNEXT", 0)
                on_error.pop_all()
                self._client = client
        return self._client

    def _log_in(self, client: IMAPClient) -> None:
        try:
            client.login(self.user, self.password)
        except LoginError as error:
            if isinstance(error.__context__, IMAPClientAbortError):
                raise error.__context__ from None
            raise SourceError(
                f"{self.place} refused the login of {self.user!r} ({self._reason(error)}). Check the user in 'url' and"
                " the environment variable that 'password' of this source names."
            ) from None

    def _reason(self, error: BaseException) -> str:
        """Return what an error says in one line, without the password."""
        text = str(error).replace(self.password, "***") if self.password else str(error)
        return mask(" ".join(text.split())) or type(error).__name__
