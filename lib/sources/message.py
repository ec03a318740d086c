"""E-mail messages: bytes become order confirmations, whatever they are packed in.

The schema.org markup of a message is read where it has any, else its text by a declared layout, else its HTML; a
forwarded original is unwrapped. A message that ends too soon never passes for a whole one.
"""

import email
import email.policy
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email import errors
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial

from lib.sources import confirmation, markup
from lib.sources.confirmation import Confirmation
from lib.sources.layouts import Layout, Unreadable

_CUT_OFF = (
    errors.CloseBoundaryNotFoundDefect,
    errors.StartBoundaryNotFoundDefect,
    errors.InvalidBase64PaddingDefect,
    errors.InvalidBase64LengthDefect,
    errors.InvalidBase64CharactersDefect,
)


def parse(raw: bytes) -> Message:
    """Return a message with its headers unparsed: it takes half the time, and bad ones do no harm."""
    return email.message_from_bytes(raw, policy=email.policy.compat32)


def header(message: Message, name: str) -> str:
    """Return a header as one line of text, empty where there is none."""
    return " ".join(str(message.get(name, "")).split())


def sent_at(message: Message) -> str:
    """Return when a message was sent by its own account, in ISO form and UTC; empty where that is no time."""
    try:
        at = parsedate_to_datetime(header(message, "Date"))
        return (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(sep=" ")
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def confirmations(message: Message, layouts: Mapping[str, Layout], offer_price: str) -> Iterator[Confirmation]:
    """Yield the orders that a message confirms; raise Unreadable, with the reason, where it confirms none."""
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    originals: list[Message] = []
    for part in _parts(message):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            originals += part.get_payload()  # type: ignore[arg-type]
        elif kind in texts and part.get_content_disposition() != "attachment":
            texts[kind].append(_text(part))
        elif (part.get_filename() or "").lower().endswith(".eml"):
            originals.append(parse(_bytes(part)))
    pages, sender = texts["text/html"], header(message, "From")
    attempts: list[tuple[str, Callable[[], list[Confirmation]]]] = [
        *(("markup", partial(markup.read, page, offer_price)) for page in pages if "schema.org" in page),
        *(("text", partial(by_layout, text, sender, layouts)) for text in texts["text/plain"]),
        *(("HTML", lambda page=page: by_layout(markup.text_of(page), sender, layouts)) for page in pages),
    ]
    reasons = []
    for what, attempt in attempts:
        try:
            for found in attempt():
                if "updated_at" not in found.order:
                    found.order["updated_at"] = sent_at(message)
                yield found
            return
        except Unreadable as reason:
            reasons.append(f"its {what} {reason}")
    if not originals:
        raise Unreadable("confirms no order: " + ("; ".join(dict.fromkeys(reasons)) or "it has no text"))
    for original in originals:
        yield from confirmations(original, layouts, offer_price)


def by_layout(text: str, sender: str, layouts: Mapping[str, Layout]) -> list[Confirmation]:
    """Read a text by the first layout whose sign is in it, or in the sender's name or address."""
    for name, layout in layouts.items():
        if layout.sign.search(text) or layout.sign.search(sender):
            try:
                return [confirmation.read(text, layout)]
            except Unreadable as reason:
                raise Unreadable(f"{reason} (layout {name!r})") from None
    raise Unreadable("has the sign of no layout")


def _parts(message: Message) -> Iterator[Message]:
    """Yield the parts of a message, those of forwarded originals aside; raise Unreadable where it ends too soon."""
    _check_whole(message)
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        for part in message.get_payload():
            yield from _parts(part)  # type: ignore[arg-type]
    else:
        yield message


def _check_whole(message: Message) -> None:
    for defect in message.defects:
        if isinstance(defect, _CUT_OFF):
            raise Unreadable(f"is damaged or cut off: {defect.__doc__ or type(defect).__name__}")


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    _check_whole(part)
    return content if isinstance(content, bytes) else b""


def _text(part: Message) -> str:
    """Return a part's text in the charset it states, or else in UTF-8 or Windows-1252, whichever fits."""
    content = _bytes(part)
    for charset in (part.get_content_charset() or "utf-8", "utf-8"):
        try:
            return content.decode(charset)
        except (LookupError, UnicodeDecodeError):
            continue
    return content.decode("cp1252", errors="replace")
