"""What the web shop's tracker records of a click: one line of nested JSON.

Who clicks on what is in `visits`, how lines come into files in `clickstream`.
"""

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.shop.files import money, padded, whole
from lib.shop.ids import customer_id, order_id, product_id
from lib.shop.promotions import find
from lib.shop.visits import (
    AT_CHECKOUT,
    CHECKOUT,
    DEVICES,
    FROM_THE_START,
    PAGES,
    PURCHASE,
    REFERRERS,
    REMOVE,
    SEARCHES,
    TYPES,
    Clicks,
    Site,
    Visits,
    Words,
    mixed,
)

# Pages of steps that have one of their own.
OWN_PAGES = {REMOVE: "/cart", CHECKOUT: "/checkout", PURCHASE: "/checkout/thank-you"}


def rendered(site: Site, day: int, visits: Visits, clicks: Clicks) -> pa.Array:
    """Return each click as a line of JSON with its line break."""
    session, number = visits.number[clicks.session], clicks.number
    at = pc.binary_replace_slice(pa.array(clicks.at).cast(pa.timestamp("ms")).cast(pa.string()), 10, 11, "T")
    kinds = pa.array([f'Z","type":"{name}","visitor":{{"id":"' for name in TYPES])
    who = about_visits(site, visits)
    logged_in = (visits.login == FROM_THE_START)[clicks.session]
    logged_in |= (visits.login == AT_CHECKOUT)[clicks.session] & (clicks.type >= CHECKOUT)
    products = product_id(np.arange(len(site.life.catalogue.price)))
    pages = [*PAGES, *(f"/search?q={word.replace(' ', '+')}" for word in SEARCHES), *OWN_PAGES.values()]
    page = clicks.page.copy()
    for place, kind in enumerate(OWN_PAGES, len(pages) - len(OWN_PAGES)):
        page[clicks.type == kind] = place
    page = np.where(page < 0, len(pages) + clicks.product, page)
    shown = pa.concat_arrays([pa.array(pages), pc.binary_join_element_wise("/p/", products, "")])
    about = pc.binary_join_element_wise('"},"product":{"id":"', products, '"}', "")
    about = pa.concat_arrays([pa.array(['"}']), about])
    return pc.binary_join_element_wise(
        f'{{"event_id":"{site.shop.date(day):%Y%m%d}-',
        padded(whole(session), 6),
        "-",
        padded(whole(number), 3),
        '","event_at":"',
        at,
        kinds.take(pa.array(clicks.type)),
        who.take(pa.array(clicks.session + len(visits.number) * logged_in)),
        shown.take(pa.array(page)),
        about.take(pa.array(clicks.product + 1)),
        about_carts(site, visits, clicks),
        "}\n",
        "",
    )


def event_id(day: date, session: int, number: int) -> str:
    """Return an event's id: the local day its session began on, the session of that day, its place in the session."""
    return f"{day:%Y%m%d}-{session:06d}-{number:03d}"


def about_visits(site: Site, visits: Visits) -> pa.Array:
    """Return the part of each session's lines on visitor, session and context, up to the page.

    First of all sessions as nobody's who logged in, then of all as their customers'.
    """
    codes, place = np.unique(visits.campaign, return_inverse=True)
    names = [REFERRERS.get(code) or find(code).name for code in codes.tolist() if code]
    names = [""] * (0 in codes) + [f',"campaign":{json.dumps(name, ensure_ascii=False)}' for name in names]
    hints = hexed(mixed(visits.number + (visits.at // 1000 << 24), site.shop.seed))
    visitor = hexed(visits.visitor)
    devices = pa.array([f'"}},"context":{{"device":"{name}"' for name in DEVICES]).take(pa.array(visits.device))
    campaign = pa.array(names, pa.string()).take(pa.array(place))
    customer = customer_id(site.life.customers.number[visits.customer])
    parts = ('"},"session":{"hint":"', hints, devices, campaign, ',"page":"', "")
    return pa.concat_arrays(
        [
            pc.binary_join_element_wise(visitor, *parts),
            pc.binary_join_element_wise(visitor, '","customer_id":"', customer, *parts),
        ]
    )


def about_carts(site: Site, visits: Visits, clicks: Clicks) -> pa.Array:
    """Return the part of each line on cart and order, empty for most."""
    rows = np.flatnonzero(clicks.quantity > 0)
    orders = site.life.orders
    order = np.where(clicks.type[rows] == PURCHASE, visits.order[clicks.session[rows]], -1)
    ids = pc.binary_join_element_wise(
        ',"order":{"id":"', order_id(orders.placed.number[order], orders.channel[order]), '"}', ""
    )
    cart = pc.binary_join_element_wise(
        ',"cart":{"quantity":',
        whole(clicks.quantity[rows]),
        ',"value":',
        money(clicks.value[rows]),
        "}",
        pc.if_else(pa.array(order >= 0), ids, ""),
        "",
    )
    place = np.zeros(len(clicks.at), dtype=np.int64)
    place[rows] = np.arange(1, len(rows) + 1)
    return pa.concat_arrays([pa.array([""]), cart]).take(pa.array(place))


def hexed(words: Words) -> pa.Array:
    """Return words as 16 hexadecimal digits."""
    digits = np.frombuffer(bytes(words.astype(">u8").tobytes()).hex().encode(), dtype=np.uint8)
    offsets = np.arange(0, 16 * len(words) + 1, 16, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(words), [None, pa.py_buffer(offsets), pa.py_buffer(digits)])
