"""The shop's CRM and catalogue: who its customers are and what it sells, as both are at the end of a day.

They hold the present state alone, one row a customer or product; what came before is gone from them. `api` serves it.
Wrong entries are in `record_defects`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.shop import ledger, record_defects
from lib.shop.changes import latest
from lib.shop.files import tally, write_parquet
from lib.shop.ids import customer_id, product_id
from lib.shop.life import ShopLife
from lib.shop.systems import Holdings, ShopFacts

FOLDER = "crm"
ENTITIES = ("customers", "products")


def write(
    life: ShopLife, folder: Path, shop: ShopFacts, after: int, through: int, progress: Callable[[str], None]
) -> Holdings:
    """Bring `folder/crm` to its state at the end of day `through`; see `lib.shop.systems.Write`.

    `customers.parquet` and `products.parquet` are written whole each time, in order of their ids.
    """
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    for left_over in place.glob(".*.part"):
        left_over.unlink()
    people, wrong = record_defects.customers(life, shop, customers(life, through), through)
    goods, wrong_too = record_defects.products(shop, products(life, shop, through))
    rows = {}
    for entity, table in (("customers", people), ("products", goods)):
        progress(f"crm: {entity}")
        write_parquet(place / f"{entity}.parquet", table)
        rows[entity] = table.num_rows
    there = tally(place)
    recorded = ledger.table([*wrong, *wrong_too]) if shop.defects.enabled else None
    return Holdings(rows, shop.date(0).isoformat(), shop.date(through).isoformat(), there.files, there.bytes, recorded)


def customers(life: ShopLife, day: int) -> pa.Table:
    """Return everybody who signed up by the end of a day, as they are then."""
    signed_up = life.customers.signed_up
    who = np.flatnonzero(signed_up < life.timepiece.day_starts[day + 1])
    change = latest(life.customer_changes, who, np.full(len(who), day))
    # One table to choose from: first states, and after them the later ones.
    states = pa.concat_tables([life.customers.details, life.customer_changes.details])
    details = states.take(np.where(change < 0, who, len(signed_up) + change))
    updated = np.where(change < 0, signed_up[who], stretched(life.customer_changes.at)[change])
    return pa.table(
        {
            "customer_id": customer_id(life.customers.number[who]),
            **{name: details[name] for name in details.column_names},
            "signup_at": instants(signed_up[who]),
            "updated_at": instants(updated),
        }
    )


def products(life: ShopLife, shop: ShopFacts, day: int) -> pa.Table:
    """Return every product launched by a day, as it is then; discontinued ones stay and are not active."""
    found, changes = life.catalogue, life.product_changes
    which = np.flatnonzero(found.launched <= day)
    change = latest(changes, which, np.full(len(which), day))
    details = found.details.take(which)

    def now(first: NDArray[np.generic], later: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.where(change < 0, first[which], stretched(later)[change])

    launched_at = life.timepiece.day_starts[found.launched.astype(np.int64)]
    return pa.table(
        {
            "product_id": product_id(which),
            **{name: details[name] for name in details.column_names},
            "unit_price": amounts(now(found.price, changes.details["price"].to_numpy())),
            "unit_cost": amounts(now(found.cost, changes.details["cost"].to_numpy())),
            "currency": pa.repeat(shop.currency, len(which)),
            "is_active": pa.array(now(found.is_active, changes.details["is_active"].to_numpy())),
            "updated_at": instants(now(launched_at, changes.at)),
        }
    )


def stretched(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return values with one more after them, so that the position -1 can be chosen where there are none."""
    return np.append(values, np.zeros(1, dtype=values.dtype))


def instants(seconds: NDArray[np.generic]) -> pa.Array:
    """Return UTC seconds as timestamps."""
    return pa.array(seconds.astype(np.int64)).cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))


def amounts(cents: NDArray[np.generic]) -> pa.Array:
    """Return cents as amounts with two decimals."""
    words = np.zeros((len(cents), 2), dtype=np.int64)
    words[:, 0] = cents
    words[:, 1] = words[:, 0] >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words)])
