"""Identifiers as the shop's systems write them; each says by its first letter what, or which channel's, it is."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.shop.channels import CHANNELS
from lib.shop.files import code, padded, whole
from lib.shop.orders import Ints
from lib.shop.places import STORES


def customer_id(number: Ints) -> pa.Array:
    """Return ids like C000001, for numbers from 1."""
    return code("C", number, 6)


def product_id(position: Ints) -> pa.Array:
    """Return ids like P0001, for positions from 0."""
    return code("P", position + 1, 4)


def order_id(number: Ints, channel: Ints) -> pa.Array:
    """Return ids like W-00000001; the number is unique in the shop's whole life, the letter is the channel's."""
    letters = pa.array([f"{name[0].upper()}-" for name in CHANNELS]).take(pa.array(channel))
    return pc.binary_join_element_wise(letters, padded(whole(number), 8), "")


def payment_id(order: Ints, part: Ints) -> pa.Array:
    """Return ids like PAY-00000001-1: they follow from the order, so later refunds never renumber any."""
    return pc.binary_join_element_wise("PAY", padded(whole(order), 8), whole(part), "-")


def store_id(position: Ints) -> pa.Array:
    """Return the ids of branch stores, null where an order came through none."""
    ids = pa.array([store.id for store in STORES])
    return ids.take(pa.array(np.where(position < 0, 0, position), mask=position < 0))
