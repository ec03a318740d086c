"""The branch stores' mailbox: a Maildir of order confirmations, cancellations and return receipts.

Not all arrives as it should: some messages come late, by minutes or by weeks, some are sent again or forwarded, some
are cut off on the way and come whole later, and among them is what is no order at all. What is there on a day is what
was delivered by then, and follows from the shop and the day alone.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from lib.shop import letters
from lib.shop.chance import stream
from lib.shop.channels import STORE
from lib.shop.files import tally
from lib.shop.ids import customer_id, order_id, payment_id, product_id
from lib.shop.letters import CANCELLATION, LAYOUT_OF, ORDER, RETURN, Letter
from lib.shop.life import ShopLife
from lib.shop.orders import Days, Ints
from lib.shop.payments import REFUNDED
from lib.shop.places import STORES
from lib.shop.promotions import find
from lib.shop.rhythm import Seconds, local_day
from lib.shop.systems import Holdings, ShopFacts

PLACE = "stores"
HOST, DOMAIN = "mail", "stores.example"
NEWSLETTER = 3
# How a message comes: as it was sent, sent again, forwarded in the text or as an attachment, cut off, or in base64.
PLAIN, AGAIN, QUOTED, ATTACHED, CUT = range(5)
# Of this many orders in a row, what happens to which one's confirmation, so that even a small shop has one of each.
ROUND, LONG_ROUND = 80, 800
AGAIN_PLACE, ATTACHED_PLACE, QUOTED_PLACE, LATE_PLACE = 4, 7, 11, 16
NEWSLETTER_PLACE, CUT_PLACE = 9, 14
LATE, SOONEST, LATEST = 0.008, 3_600, 45 * 86_400
# One letter in this many is encoded in base64.
BASE64_EVERY = 7
TRANSIT, ISSUE = 90, 20
COME_AGAIN = (3_600, 8 * 86_400)


@dataclass(frozen=True)
class Deliveries:
    """Messages in order of arrival: position of the order, kind of letter, how it comes, when it is issued and
    arrives (UTC seconds), and the local day of its arrival.
    """

    order: Ints
    kind: Ints
    way: Ints
    issued: Seconds
    at: Seconds
    day: Days


@dataclass(frozen=True)
class _Parts:
    """What belongs to store orders, by the position of each: where its lines or payments are, and their values."""

    start: Ints
    stop: Ints
    values: list[tuple[Any, ...]]

    def of(self, order: int) -> list[tuple[Any, ...]]:
        return self.values[self.start[order] : self.stop[order]]


def write(
    life: ShopLife, folder: Path, shop: ShopFacts, after: int, through: int, progress: Callable[[str], None]
) -> Holdings:
    """Bring the Maildir `folder/stores` to its state at day `through`; see `lib.shop.systems.Write`.

    A message is written in `tmp` and moved to `new`; one that a reader moved on to `cur` stays there.
    """
    place = folder / PLACE
    new, tmp = place / "new", place / "tmp"
    for part in (new, tmp, place / "cur"):
        part.mkdir(parents=True, exist_ok=True)
    for left_over in tmp.iterdir():
        left_over.unlink()
    there = {path.name.partition(":")[0]: path for part in ("new", "cur") for path in (place / part).iterdir()}
    deliveries = deliver(life, shop)
    known = int(np.searchsorted(deliveries.day, through, side="right"))
    due = np.arange(np.searchsorted(deliveries.day, after, side="right"), known)
    for number, (name, content) in enumerate(_messages(life, shop, deliveries, due)):
        if number % 2_000 == 0:
            progress(f"stores: message {number + 1:,} of {len(due):,}")
        found = there.get(name)
        if found and (after >= 0 or found.read_bytes() == content):
            continue
        part = tmp / name
        part.write_bytes(content)
        part.replace(found or new / name)
    days = deliveries.day[:known]
    first, last = (shop.date(int(d)).isoformat() for d in (days[0], days[-1])) if known else (None, None)
    held = tally(place)
    return Holdings(_rows(life, deliveries, known), first, last, held.files, held.bytes)


def deliver(life: ShopLife, shop: ShopFacts) -> Deliveries:
    """Return all messages that ever come, as far as the shop's life is simulated."""
    orders, payments = life.orders, life.payments
    own = np.flatnonzero(orders.channel == STORE)
    place, long_place = np.arange(len(own)) % ROUND, np.arange(len(own)) % LONG_ROUND
    chance = _chances(shop.seed, orders.placed.day[own])
    settled = orders.placed.at.copy()
    at_once = payments.status != REFUNDED
    np.maximum.at(settled, payments.order[at_once] - 1, payments.at[at_once])
    confirmed = settled[own] + 1 + (chance[:, 0] * ISSUE).astype(np.int64)
    confirmed_at = confirmed + _transit(chance[:, 1], chance[:, 2], place == LATE_PLACE)
    again = confirmed_at + (COME_AGAIN[0] + chance[:, 3] * (COME_AGAIN[1] - COME_AGAIN[0])).astype(np.int64)
    is_cut = long_place == CUT_PLACE

    rows: list[tuple[Ints, int, int, Seconds, Seconds]] = [
        (own, ORDER, PLAIN, confirmed, np.where(is_cut, again, confirmed_at))
    ]
    for way, has_it, at in (
        (AGAIN, place == AGAIN_PLACE, again),
        (ATTACHED, place == ATTACHED_PLACE, again),
        (QUOTED, place == QUOTED_PLACE, again),
        (CUT, is_cut, confirmed_at),
    ):
        rows.append((own[has_it], ORDER, way, confirmed[has_it], at[has_it]))
    for kind, instants, first in ((CANCELLATION, orders.cancelled_at, 4), (RETURN, orders.returned_at, 7)):
        here = np.flatnonzero(instants[own] > 0)
        issued = instants[own[here]] + 1 + (chance[here, first] * ISSUE).astype(np.int64)
        at = issued + _transit(chance[here, first + 1], chance[here, first + 2], np.zeros(len(here), dtype=bool))
        rows.append((own[here], kind, PLAIN, issued, at))
    here = np.flatnonzero(long_place == NEWSLETTER_PLACE)
    rows.append((own[here], NEWSLETTER, PLAIN, confirmed[here] + 600, confirmed[here] + 630))

    order, issued, arrived = (np.concatenate([row[i] for row in rows]) for i in (0, 3, 4))
    counts = [len(row[0]) for row in rows]
    kinds, ways = (np.repeat(np.array([row[i] for row in rows], dtype=np.int64), counts) for i in (1, 2))
    sort = np.lexsort((ways, kinds, order, arrived))
    day = local_day(life.timepiece, arrived[sort])
    return Deliveries(order[sort], kinds[sort], ways[sort], issued[sort], arrived[sort], day)


def _chances(seed: int, day: Days) -> NDArray[np.float64]:
    """Return ten draws from 0 to 1 for each order, of its day's own stream; orders are sorted by time."""
    days, count = np.unique(day, return_counts=True)
    draws = [stream(seed, int(d), "store mail").random((n, 10)) for d, n in zip(days, count, strict=True)]
    return np.concatenate(draws) if draws else np.empty((0, 10))


def _transit(usual: NDArray[np.float64], late: NDArray[np.float64], surely: NDArray[np.bool_]) -> Seconds:
    """Return how long messages are on their way: a minute or so, a few of them hours to weeks."""
    is_late = (late < LATE) | surely
    share = np.where(surely, late, late / LATE)
    return np.where(is_late, SOONEST * (LATEST / SOONEST) ** np.minimum(share, 1), 2 + usual * TRANSIT).astype(np.int64)


def _rows(life: ShopLife, deliveries: Deliveries, known: int) -> dict[str, int]:
    """Return how many lines and payments are in the first `known` messages, those that can be read."""
    n = len(life.orders.channel)
    kind, order = deliveries.kind[:known], deliveries.order[:known]
    readable = (kind != NEWSLETTER) & (deliveries.way[:known] != CUT)

    def count(owner: Ints, is_later: NDArray[np.bool_], in_later: NDArray[np.bool_]) -> int:
        first, later = (np.bincount(owner[some] - 1, minlength=n) for some in (~is_later, is_later))
        return int(np.where(in_later, later[order], first[order])[readable].sum())

    return {
        "order_lines": count(life.lines.order, life.lines.quantity < 0, kind == RETURN),
        "payments": count(life.payments.order, life.payments.status == REFUNDED, kind != ORDER),
    }


def _messages(life: ShopLife, shop: ShopFacts, deliveries: Deliveries, due: Ints) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of messages, by their positions in `deliveries`."""
    orders, sold, paid = life.orders, life.lines, life.payments
    names = life.catalogue.details["name"].to_pylist()
    products = product_id(np.arange(len(names))).to_pylist()
    mine = np.flatnonzero(orders.channel[sold.order - 1] == STORE)
    values = [sold.line, sold.product, sold.quantity, sold.price, sold.discount]
    lines = _gathered(sold.order[mine], len(orders.channel), [column[mine].tolist() for column in values])
    mine = np.flatnonzero(orders.channel[paid.order - 1] == STORE)
    values = [paid.method, paid.amount, paid.status, paid.at]
    payment_ids = payment_id(paid.order[mine], paid.part[mine]).to_pylist()
    payments = _gathered(
        paid.order[mine], len(orders.channel), [payment_ids, *(column[mine].tolist() for column in values)]
    )
    ids = order_id(orders.placed.number[deliveries.order[due]], np.full(len(due), STORE)).to_pylist()
    customers = customer_id(orders.placed.customer[deliveries.order[due]] + 1).to_pylist()
    zone = ZoneInfo(shop.time_zone)

    def local(second: int) -> datetime:
        return datetime.fromtimestamp(second, zone)

    def letter(position: int, own_id: str, customer: str, kind: int, issued: int) -> Letter:
        code = int(orders.campaign[position])
        sums = (orders.discount, orders.shipping, orders.tax, orders.total)
        return Letter(
            kind,
            own_id,
            local(int(orders.placed.at[position])),
            local(issued),
            STORES[orders.store[position]],
            None if orders.is_walk_in[position] else customer,
            _campaign(code) if code else None,
            () if kind == RETURN else [int(amount[position]) for amount in sums],
            [
                (line, products[product], names[product], quantity, *amounts)
                for line, product, quantity, *amounts in lines.of(position)
                if (quantity < 0) == (kind == RETURN)
            ],
            [
                (part, method, amount, status, local(at))
                for part, method, amount, status, at in payments.of(position)
                if (status == REFUNDED) == (kind != ORDER)
            ],
        )

    columns = (deliveries.order, deliveries.kind, deliveries.way, deliveries.issued, deliveries.at)
    for own_id, customer, position, kind, way, issued, at in zip(
        ids, customers, *(column[due].tolist() for column in columns), strict=True
    ):
        name = f"{at}.{own_id.replace('-', '')}K{kind}W{way}.{HOST}"
        if kind == NEWSLETTER:
            yield name, _newsletter(own_id, local(issued))
        else:
            said = letter(position, own_id, customer, kind, issued)
            yield name, _packed(said, way, shop.currency, local(at), in_base64=position % BASE64_EVERY == 0)


def _gathered(order: Ints, n_orders: int, columns: list[list[Any]]) -> _Parts:
    """Return lines or payments, which are sorted by their orders' numbers, by the position of each order."""
    edges = np.searchsorted(order, np.arange(1, n_orders + 2))
    return _Parts(edges[:-1], edges[1:], list(zip(*columns, strict=True)))


@cache
def _campaign(code: int) -> str:
    return find(code).name


@cache
def _sender(store: str) -> str:
    name = next(s.name for s in STORES if s.id == store)
    return f"{Header(name, 'utf-8').encode()} <{store.lower()}@{DOMAIN}>"


def _packed(letter: Letter, way: int, currency: str, arrives: datetime, *, in_base64: bool) -> bytes:
    """Return a letter as a message, in the way it comes."""
    text, page = letters.render(letter, currency)
    charset = LAYOUT_OF[letter.store.id].charset
    mark = f"=_{letter.store.id}"
    own_id = f"<{letter.order_id}.{letter.kind}.{int(letter.issued_at.timestamp())}@{DOMAIN}>"
    body = "".join(
        f"--{mark}\n{_part(content, kind, charset, in_base64=in_base64)}\n"
        for kind, content in (("plain", text), ("html", page))
    )
    head = _head(_sender(letter.store.id), letters.subject(letter), letter.issued_at, own_id)
    message = f'{head}Content-Type: multipart/alternative; boundary="{mark}"\n\n{body}--{mark}--\n'
    if way == CUT:
        return message[: len(message) * 2 // 5].encode("ascii")
    if way == AGAIN:
        message = f"Resent-From: {_sender(letter.store.id)}\nResent-Date: {format_datetime(arrives)}\n{message}"
    if way in (QUOTED, ATTACHED):
        message = _forwarded(letter, text, message, way, arrives)
    return message.encode("ascii")


def _forwarded(letter: Letter, text: str, message: str, way: int, at: datetime) -> str:
    """Return the message in which somebody of the store sends on another."""
    words = LAYOUT_OF[letter.store.id].words
    head = _head(
        f"Back office <office@{DOMAIN}>", f"Fwd: {letters.subject(letter)}", at, f"<fwd.{letter.order_id}@{DOMAIN}>"
    )
    if way == ATTACHED:
        mark = "=_forwarded"
        note = _part(words.forwarded + "\n", "plain", "utf-8", in_base64=False)
        return (
            f'{head}Content-Type: multipart/mixed; boundary="{mark}"\n\n--{mark}\n{note}\n--{mark}\n'
            f"Content-Type: message/rfc822\nContent-Disposition: inline\n\n{message}\n--{mark}--\n"
        )
    origin = f"From: {letter.store.name}\nDate: {format_datetime(letter.issued_at)}\nSubject: {letters.subject(letter)}"
    quoted = "\n".join(f"> {line}".rstrip() for line in f"{origin}\n\n{text}".split("\n"))
    return head + _part(f"{words.forwarded}\n\n{words.original}\n{quoted}\n", "plain", "utf-8", in_base64=False)


def _head(sender: str, title: str, at: datetime, own_id: str) -> str:
    title = title if title.isascii() else Header(title, "utf-8", header_name="Subject").encode()
    return (
        f"From: {sender}\nTo: orders@{DOMAIN}\nSubject: {title}\nDate: {format_datetime(at)}\nMessage-ID: {own_id}\n"
        "MIME-Version: 1.0\n"
    )


def _part(content: str, kind: str, charset: str, *, in_base64: bool) -> str:
    """Return a part with its headers; what its charset lacks makes it UTF-8."""
    try:
        raw = content.encode(charset)
    except UnicodeEncodeError:
        charset, raw = "utf-8", content.encode()
    if in_base64:
        coded, coding = base64.encodebytes(raw), "base64"
    else:
        coded, coding = binascii.b2a_qp(raw, istext=True), "quoted-printable"
    head = f'Content-Type: text/{kind}; charset="{charset}"\nContent-Transfer-Encoding: {coding}\n\n'
    return head + coded.decode("ascii")


def _newsletter(own_id: str, at: datetime) -> bytes:
    """Return what is no order at all."""
    head = _head(
        f"Stores <news@{DOMAIN}>", "What is new in our stores", at.astimezone(UTC), f"<news.{own_id}@{DOMAIN}>"
    )
    text = "Dear all,\n\nnew shelves have come, and opening hours stay as they are.\n\nYour stores\n"
    return (head + _part(text, "plain", "utf-8", in_base64=False)).encode("ascii")
