"""Who visits the web shop, when, and what they do there: sessions and their clicks, local day by local day.

Every web order has exactly one session, which ends with its purchase; no other session ends so. A day is drawn in
streams of its own, and clicks that reach the shop late in one apart from the others, so that each can be drawn alone.
How clicks are written down is in `clickstream`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lib.shop import chance
from lib.shop.chance import pick, stream
from lib.shop.changes import latest
from lib.shop.channels import WEB
from lib.shop.life import ShopLife
from lib.shop.orders import Ints, ranks
from lib.shop.promotions import campaigns
from lib.shop.rhythm import Scale, mark, to_instants
from lib.shop.sizes import LAST_DAY
from lib.shop.systems import ShopFacts

TYPES = ("page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase")
PAGE_VIEW, PRODUCT_VIEW, SEARCH, ADD, REMOVE, CHECKOUT, PURCHASE = range(len(TYPES))
DEVICES, DEVICE_SHARES, MAIN_DEVICE = ("mobile", "desktop", "tablet"), (0.57, 0.37, 0.06), 0.85
# fmt: off
PAGES = (
    "/", "/c/fashion", "/c/home-living", "/c/electronics", "/c/kitchen", "/c/beauty", "/c/toys-games", "/c/pantry",
    "/c/sports-outdoor", "/new", "/sale", "/help/shipping", "/help/returns", "/account", "/about",
)
SEARCHES = (
    "lamp", "gift", "shoes", "scarf", "vase", "storage", "headphones", "pan", "yoga mat", "backpack", "candle",
    "puzzle", "größe m", "weihnachten", "geschenk für kinder", "café", "t-shirt", "angebot",
)
# fmt: on
# Ways into the shop that are no campaign of its own, by codes that no campaign has.
REFERRERS, REFERRED, JOINS_CAMPAIGN = {1: "newsletter", 2: "search-ads", 3: "social"}, 0.22, 0.3

# What visitors who buy nothing come for: one look, a look around, something to put in the cart.
INTENTS = (0.34, 0.56, 0.1)
GLANCE, BROWSE, CART = range(3)
STEPS, STEPS_SPREAD, MOST_STEPS = np.array([1.0, 8.0, 12.0]), 0.75, 80
BUYER_STEPS = 9.0
ADDS, GOES_TO_CHECKOUT, CHANGES_MIND, BUYER_PUTS_BACK = (0.62, 0.24, 0.1, 0.04), 0.42, 0.25, 0.08
# Mean clicks of a session, as the shares above come out: they only set how many sessions there are.
BUYER_CLICKS, OTHER_CLICKS = 18.9, 8.25
LANDS_ON_PRODUCT, LATER_STEPS = 0.3, (0.34, 0.5, 0.16)
DWELL, DWELL_SPREAD, LONGEST_DWELL, LONGEST_SESSION = 24_000, 1.0, 25 * 60_000, 4 * 3_600_000

KNOWN_CUSTOMERS, RETURNING, COMES_BACK_DAYS = 0.3, 0.4, 10.0
NOT_LOGGED_IN, FROM_THE_START, AT_CHECKOUT = range(3)
# Late clicks: whole sessions, such as of a phone that was offline; every length of hours to weeks is as likely.
SOONEST, LATEST, ASTRAY = 3_600_000, 44 * 86_400_000, 0.1
#: For this many days after its own day a session's clicks may still arrive.
LATE_DAYS = 46
AGAIN_AFTER = (3_600_000, 6 * 3_600_000)

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Visits:
    """Sessions of a local day, numbered from 0; instants in UTC milliseconds.

    `order` and `customer` are positions or -1, `campaign` a campaign's or referrer's code or 0. `at` is when the
    session begins, or when its order is placed. `steps` are the pages looked at, `adds` the products put in the cart
    besides those that are bought. `late` is when the clicks are delivered, 0 for at once; those `astray` are put
    where they would have been in time.
    """

    number: Ints
    order: Ints
    customer: Ints
    visitor: Words
    device: Ints
    campaign: Ints
    login: Ints
    at: Ints
    steps: Ints
    adds: Ints
    checks_out: NDArray[np.bool_]
    late: Ints
    astray: NDArray[np.bool_]

    def only(self, chosen: NDArray[np.bool_]) -> "Visits":
        return Visits(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Clicks:
    """Events in order of session and time: position of the session, number in it, UTC millisecond, type.

    `product` is a position or -1, `page` a position in `PAGES`, then `SEARCHES`, or -1 where the type or the product
    says it; `quantity` (0 where there is none) and `value` (in cents) are of the cart. `again` is when a click is
    delivered a second time, 0 for never.
    """

    session: Ints
    number: Ints
    at: Ints
    type: Ints
    product: Ints
    page: Ints
    quantity: Ints
    value: Ints
    again: Ints

    def only(self, chosen: NDArray[np.bool_] | Ints) -> "Clicks":
        return Clicks(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Site:
    """The web shop as its visitors find it."""

    life: ShopLife
    shop: ShopFacts

    @cached_property
    def web_orders(self) -> Ints:
        """Positions of the tracked web orders, in order of time."""
        orders = self.life.orders
        return np.flatnonzero((orders.channel == WEB) & (orders.placed.day >= self.shop.tracked_from))

    @cached_property
    def sold(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Order number, product, quantity and price of sold lines, in order of the orders."""
        lines = self.life.lines
        rows = np.flatnonzero(lines.quantity > 0)
        rows = rows[np.argsort(lines.order[rows], kind="stable")]
        return lines.order[rows], lines.product[rows], lines.quantity[rows], lines.price[rows]

    @cached_property
    def others(self) -> Ints:
        """Number of sessions without a purchase on each local day."""
        timepiece, shop = self.life.timepiece, self.shop
        marks = timepiece.demand[np.searchsorted(timepiece.edges, timepiece.day_starts)]
        first, last = shop.tracked_from, (LAST_DAY - shop.size.first_day).days + 1
        buyers = np.searchsorted(self.life.orders.placed.day[self.web_orders], last)
        clicks = max(shop.size.events - buyers * BUYER_CLICKS, 0)
        rate = clicks / OTHER_CLICKS / (marks[last] - marks[first])
        return np.diff(np.floor(rate * (marks - marks[first]))).astype(np.int64)

    def on_sale(self, day: int) -> tuple[Ints, Scale]:
        """Return the products' prices on a day, and a ladder from 0 to 1 to draw products from."""
        catalogue, changes = self.life.catalogue, self.life.product_changes
        found = latest(changes, np.arange(len(catalogue.price)), np.full(len(catalogue.price), day))
        price, is_active = catalogue.price.copy(), catalogue.is_active.copy()
        changed = found >= 0
        price[changed] = np.asarray(changes.details["price"])[found[changed]]
        is_active[changed] = np.asarray(changes.details["is_active"])[found[changed]]
        weight = catalogue.demand[self.shop.date(day).month - 1] * (is_active & (catalogue.launched <= day))
        ladder = np.cumsum(weight)
        return price, ladder / ladder[-1]


def visits_of(site: Site, day: int) -> Visits:
    """Return the sessions of a local day: those that end without a purchase, then one for each web order."""
    rng, life, timepiece = stream(site.shop.seed, day, "visits"), site.life, site.life.timepiece
    lo, hi = np.searchsorted(life.orders.placed.day[site.web_orders], (day, day + 1))
    order = site.web_orders[lo:hi]
    n_others, n_buyers = int(site.others[day]), len(order)
    n = n_others + n_buyers
    number, buys = np.arange(n), np.arange(n) >= n_others
    order = np.concatenate([np.full(n_others, -1), order])

    point = rng.uniform(mark(timepiece, timepiece.demand, day), mark(timepiece, timepiece.demand, day + 1), n_others)
    begin = to_instants(timepiece, timepiece.demand, point) * 1000 + rng.integers(0, 1000, n_others)
    at = np.concatenate([begin, life.orders.placed.at[order[n_others:]] * 1000])

    signed_up = np.searchsorted(life.customers.signed_up, timepiece.day_starts[day])
    known = (rng.random(n) < KNOWN_CUSTOMERS) & (signed_up > 0)
    # People who came to the shop recently look at it more often.
    customer = np.where(known, (signed_up * rng.random(n) ** 0.6).astype(np.int64), -1)
    customer[buys] = life.orders.placed.customer[order[buys]]
    usual = (mixed(customer, site.shop.seed) % np.uint64(1000)).astype(np.int64) / 1000
    main = np.searchsorted(np.cumsum(DEVICE_SHARES)[:-1], usual, side="right")
    device = np.where((customer >= 0) & (rng.random(n) < MAIN_DEVICE), main, pick(rng, DEVICE_SHARES, n))

    # Nobody knows who the others are: one seen before is the visitor of some session of a day before.
    before = np.maximum(day - 1 - rng.exponential(COMES_BACK_DAYS, n).astype(np.int64), 0)
    earlier = (rng.random(n) * site.others[before]).astype(np.int64)
    is_back = (rng.random(n) < RETURNING) & (site.others[before] > 0)
    nameless = np.where(is_back, before << 24 | earlier, day << 24 | number)
    visitor = mixed(np.where(customer >= 0, customer << 2 | device | 1 << 60, nameless), site.shop.seed)

    intent = pick(rng, INTENTS, n)
    steps = np.where(buys, BUYER_STEPS, STEPS[intent]) * rng.lognormal(0, STEPS_SPREAD, n)
    steps = np.where((intent == GLANCE) & ~buys, 1 + (rng.random(n) < 0.25), np.clip(np.rint(steps), 2, MOST_STEPS))
    puts_back = buys & (rng.random(n) < BUYER_PUTS_BACK)
    adds = np.where(buys, puts_back, (intent == CART) * (1 + pick(rng, ADDS, n)))
    checks_out = buys | ((intent == CART) & (rng.random(n) < GOES_TO_CHECKOUT))
    login = np.where(rng.random(n) < 0.7, FROM_THE_START, np.where(buys, AT_CHECKOUT, NOT_LOGGED_IN))
    login = np.where(customer >= 0, login, NOT_LOGGED_IN)

    delay = SOONEST * (LATEST / SOONEST) ** rng.random(n)
    is_late = rng.random(n) < site.shop.defects.rate("late_event")
    late = np.where(is_late, at + LONGEST_SESSION * ~buys + delay.astype(np.int64), 0)
    return Visits(
        number, order, customer, visitor, device, sent_by(rng, site, day, order), login, at, steps.astype(np.int64),
        adds.astype(np.int64), checks_out, late, rng.random(n) < ASTRAY,
    )  # fmt: skip


def sent_by(rng: np.random.Generator, site: Site, day: int, order: Ints) -> Ints:
    """Return the code of the campaign or referrer that led to each session; an order's campaign led to its own."""
    n, today = len(order), site.shop.date(day)
    code = np.where(rng.random(n) < REFERRED, rng.integers(1, 1 + len(REFERRERS), n), 0)
    joins = (rng.random(n) < JOINS_CAMPAIGN) & (order < 0)
    for campaign in campaigns(today.year):
        if campaign.first <= today <= campaign.last:
            code[joins] = campaign.code
    own = site.life.orders.campaign[order]
    return np.where((order >= 0) & (own > 0), own, code)


def clicks_of(site: Site, day: int, visits: Visits, name: str) -> Clicks:
    """Return what happens in some sessions of a day, drawn from the day's stream of that name."""
    rng, n = stream(site.shop.seed, day, name), len(visits.number)
    everyone, buys = np.arange(n), visits.order >= 0
    price, ladder = site.on_sale(day)

    looking = np.repeat(everyone, visits.steps)
    place = ranks(looking)
    lands = np.where(rng.random(len(looking)) < LANDS_ON_PRODUCT, PRODUCT_VIEW, PAGE_VIEW)
    look = np.where(place == 0, lands, pick(rng, LATER_STEPS, len(looking)))
    product = np.searchsorted(ladder, rng.random(len(looking)), side="right")
    page = np.where(look == SEARCH, len(PAGES) + rng.integers(0, len(SEARCHES), len(looking)), popular(rng, looking))

    # What goes into the cart: what is bought, and what is tried.
    number, sold_product, sold_quantity, sold_price = site.sold
    wanted = site.life.orders.placed.number[visits.order[buys]]
    lo, hi = np.searchsorted(number, wanted), np.searchsorted(number, wanted, side="right")
    bought = np.repeat(np.flatnonzero(buys), hi - lo)
    line = np.repeat(lo, hi - lo) + ranks(bought)
    tried = np.repeat(everyone, visits.adds)
    trial = np.searchsorted(ladder, rng.random(len(tried)), side="right")
    carted = np.concatenate([bought, tried])
    chosen = np.concatenate([sold_product[line], trial])
    quantity = np.concatenate([sold_quantity[line], 1 + (rng.random(len(tried)) < 0.1)])
    value = quantity * np.concatenate([sold_price[line], price[trial]])
    found_at = np.floor(rng.random(len(carted)) * visits.steps[carted]) + 0.1 + 0.8 * rng.random(len(carted))
    is_trial = np.arange(len(carted)) >= len(bought)
    leaves = ~visits.checks_out[carted] & (rng.random(len(carted)) < CHANGES_MIND)
    back = np.flatnonzero(is_trial & (buys[carted] | leaves))
    stays = np.ones(len(carted), dtype=bool)
    stays[back] = False

    in_cart, worth = (
        np.bincount(carted[stays], weights=of[stays], minlength=n).astype(np.int64) for of in (quantity, value)
    )
    at_checkout, at_end = np.flatnonzero(visits.checks_out), np.flatnonzero(buys)
    total = site.life.orders.total[visits.order[at_end]]
    nothing = np.zeros(len(looking), dtype=np.int64)
    # Session, place in it, type, product, page, quantity, value.
    groups = (
        (looking, place, look, np.where(look == PRODUCT_VIEW, product, -1), page, nothing, nothing),
        (carted, found_at, PRODUCT_VIEW, chosen, -1, 0, 0),
        (carted, found_at + 1e-4, ADD, chosen, -1, quantity, value),
        (carted[back], visits.steps[carted[back]] + 0.1, REMOVE, chosen[back], -1, quantity[back], value[back]),
        (at_checkout, visits.steps[at_checkout] + 0.5, CHECKOUT, -1, -1, in_cart[at_checkout], worth[at_checkout]),
        (at_end, visits.steps[at_end] + 0.9, PURCHASE, -1, -1, in_cart[at_end], total),
    )
    columns = [np.concatenate([np.broadcast_to(g[i], len(g[0])) for g in groups]) for i in range(7)]
    in_order = np.lexsort((columns[1], columns[0]))
    session, _, kind, product, page, quantity, value = (column[in_order] for column in columns)
    page = np.where((kind == PAGE_VIEW) | (kind == SEARCH), page, -1)
    at = moments(rng, session, visits, int(site.life.timepiece.day_starts[day]) * 1000)
    comes_again = rng.random(len(at)) < site.shop.defects.rate("duplicated_event")
    again = np.where(comes_again, at + rng.integers(*AGAIN_AFTER, len(at)), 0)
    return Clicks(session, ranks(session), at, kind, product, page, quantity, value, again)


def popular(rng: np.random.Generator, rows: Ints) -> Ints:
    """Return positions of pages; the first ones are looked at most."""
    return (len(PAGES) * rng.random(len(rows)) ** 2).astype(np.int64)


def moments(rng: np.random.Generator, session: Ints, visits: Visits, midnight: int) -> Ints:
    """Return when clicks happen: from the session's beginning on, or up to its purchase and not before midnight."""
    dwell = np.clip(rng.lognormal(np.log(DWELL), DWELL_SPREAD, len(session)), 700, LONGEST_DWELL)
    starts = np.searchsorted(session, np.arange(len(visits.number)))
    dwell[starts] = 0
    passed = np.cumsum(dwell)
    passed -= passed[starts][session]
    total = passed[np.append(starts[1:], len(session)) - 1] if len(session) else passed
    buys = visits.order >= 0
    room = np.where(buys, np.minimum(visits.at - midnight, LONGEST_SESSION), LONGEST_SESSION)
    squeeze = np.minimum(1, room / np.maximum(total, 1))
    since = visits.at - np.where(buys, np.rint(total * squeeze).astype(np.int64), 0)
    return since[session] + np.rint(passed * squeeze[session]).astype(np.int64)


def mixed(values: Ints, seed: int) -> Words:
    """Return words that look random and differ where the values do, another set of them for each seed."""
    return chance.mixed(values.astype(np.uint64) + np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64))
