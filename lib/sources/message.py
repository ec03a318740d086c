"""E-mail messages: bytes become order confirmations, whatever they are packed in.

The text part is read first and the HTML part where the text does not tell; a forwarded original is unwrapped. A
message that ends too soon is never taken for a whole one.
"""

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email import errors
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser

from lib.sources.confirmation import Confirmation, read
from lib.sources.labels import Labels
from lib.sources.written import Unreadable

_CUT_OFF = (
    errors.CloseBoundaryNotFoundDefect,
    errors.StartBoundaryNotFoundDefect,
    errors.InvalidBase64PaddingDefect,
    errors.InvalidBase64LengthDefect,
    errors.InvalidBase64CharactersDefect,
)
_LINE_TAGS = {"p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "hr"}
_UNSEEN = {"script", "style", "head", "title"}


@dataclass(frozen=True)
class Read:
    """A message: its id, when it was sent (ISO, empty where it does not say), and the orders it confirms."""

    message_id: str
    sent_at: str
    confirmations: tuple[Confirmation, ...]


def read_message(raw: bytes, labels: Labels) -> Read:
    """Return what a message says; raise Unreadable, with the reason, where it confirms no order."""
    # This policy leaves headers unparsed until they are asked for: it takes half the time, and bad ones do no harm.
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    found = tuple(_confirmations(message, labels))
    return Read(header(message, "Message-ID"), sent_at(message), found)


def header(message: Message, name: str) -> str:
    """Return a header as one line of text, empty where there is none."""
    value = message.get(name)
    if isinstance(value, str) and "=?" not in value:
        return " ".join(value.split())
    try:
        return " ".join(str(make_header(decode_header(value))).split()) if value else ""
    except (errors.HeaderParseError, LookupError, ValueError):
        return " ".join(str(value).split())


def sent_at(message: Message) -> str:
    """Return when a message was sent by its own account, in ISO form and UTC; empty where that is no time."""
    try:
        at = parsedate_to_datetime(header(message, "Date"))
        return (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(sep=" ")
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _confirmations(message: Message, labels: Labels) -> Iterator[Confirmation]:
    texts: list[tuple[str, Message]] = []
    originals: list[Message] = []
    for part in _parts(message):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            originals += part.get_payload()  # type: ignore[arg-type]
        elif (part.get_filename() or "").lower().endswith(".eml"):
            originals.append(email.message_from_bytes(_bytes(part), policy=email.policy.compat32))
        elif kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            texts.append((kind, part))
    texts.sort(key=lambda found: found[0] != "text/plain")
    reasons = []
    for kind, part in texts:
        try:
            text = _text(part)
            confirmation = read(text_of_html(text) if kind == "text/html" else text, labels)
            confirmation.order.setdefault("updated_at", sent_at(message))
            yield confirmation
            return
        except Unreadable as reason:
            reasons.append(f"its {'HTML' if kind == 'text/html' else 'text'} {reason}")
    if not originals:
        raise Unreadable("confirms no order: " + ("; ".join(dict.fromkeys(reasons)) or "it has no text"))
    for original in originals:
        yield from _confirmations(original, labels)


def _parts(message: Message) -> Iterator[Message]:
    """Yield the parts of a message, those of forwarded originals aside; raise Unreadable where it ends too soon."""
    for defect in message.defects:
        if isinstance(defect, _CUT_OFF):
            raise Unreadable(f"is damaged or cut off: {defect.__doc__ or type(defect).__name__}")
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            yield from _parts(part)  # type: ignore[arg-type]
    else:
        yield message


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    for defect in part.defects:
        if isinstance(defect, _CUT_OFF):
            raise Unreadable(f"is damaged or cut off: {defect.__doc__ or type(defect).__name__}")
    return content if isinstance(content, bytes) else b""


def _text(part: Message) -> str:
    """Return a part's text in the charset it states, or else in UTF-8 or Windows-1252, whichever fits."""
    content = _bytes(part)
    for charset in (part.get_content_charset() or "utf-8", "utf-8", "cp1252"):
        try:
            return content.decode(charset)
        except (LookupError, UnicodeDecodeError):
            continue
    return content.decode("cp1252", errors="replace")


class _Page(HTMLParser):
    """Lays out a page as lines: a row's cells with tabs between them, blank lines around tables."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.line = ""
        self.unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self.unseen += 1
        elif tag in ("td", "th"):
            self.line += "\t" if self.line else "\t\t"
        elif tag in _LINE_TAGS and not (self.line and tag in ("p", "div", "br") and self.line.startswith("\t")):
            self._end_line(blank=tag in ("table", "p"))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self.unseen = max(self.unseen - 1, 0)
        elif tag in _LINE_TAGS and not (tag in ("p", "div", "br") and self.line.startswith("\t")):
            self._end_line(blank=tag in ("table", "p"))

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.line += " ".join(data.replace("\u00a0", " ").split()) + (" " if data[-1:].isspace() else "")

    def _end_line(self, *, blank: bool) -> None:
        if self.line.strip():
            self.lines.append(self.line.removeprefix("\t\t"))
        if blank and self.lines and self.lines[-1]:
            self.lines.append("")
        self.line = ""


def text_of_html(page: str) -> str:
    """Return a page's text, line by line."""
    parser = _Page()
    parser.feed(page)
    parser.close()
    parser._end_line(blank=False)
    return "\n".join(parser.lines)
