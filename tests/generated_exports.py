"""Exports made by chance: a few orders that are known, written as some shop system might write them, with a mapping.

`made(seed)` gives an export: its files, what its sources file says, and what is right. The mapping says all that must
be said, or is as careless as a hurried user's, who names the columns and nothing else. `outcome` ingests, builds and
audits it in this process and says whether it came out right, was refused, or is silently wrong.
"""

import csv
import io
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lib.base.errors import PipelineError
from tests.small_shop import SmallShop, one

ZONE = "America/New_York"
CENT = Decimal("0.01")
NAMES = [
    "Mug",
    "Tote bag",
    "Große Tasse",
    "Café; crème",
    'Poster 12"',
    "Tee, black\nsize S",
    "Print &amp; frame",
    "Kanne",
]
WORDS = {
    "plain": {"sale": ["completed"], "cancelled": ["cancelled"], "returned": ["refunded"]},
    "shopify": {"sale": ["paid", "partially_refunded"], "cancelled": ["voided"], "returned": ["refunded"]},
    "woocommerce": {
        "sale": ["wc-completed", "wc-processing"],
        "cancelled": ["wc-cancelled"],
        "returned": ["wc-refunded"],
    },
    "amazon": {"sale": ["Shipped"], "cancelled": ["Cancelled"], "returned": ["Returned"]},
    "loud": {"sale": ["COMPLETE"], "cancelled": ["CANCELED"], "returned": ["REFUNDED"]},
}


@dataclass
class Line:
    product: str
    name: str
    quantity: int
    price: Decimal
    rate: Decimal

    @property
    def total(self) -> Decimal:
        return self.price * self.quantity

    @property
    def discount(self) -> Decimal:
        return (self.total * self.rate).quantize(CENT, ROUND_HALF_UP)


@dataclass
class Order:
    number: str
    at: datetime
    customer: str
    state: str
    lines: list[Line]

    @property
    def net(self) -> Decimal:
        goods = sum((line.total - line.discount for line in self.lines), Decimal(0))
        return goods if self.state == "sale" else Decimal(0)


@dataclass
class Export:
    """An export: its files by name, what its sources file says of order_lines, the choices made, what is right."""

    files: dict[str, bytes]
    entity: dict[str, Any]
    choices: dict[str, str]
    orders: int
    net: Decimal
    config: dict[str, Any] = field(default_factory=dict)


def _orders(chance: random.Random) -> list[Order]:
    products = [
        (f"{chance.choice(['SKU-', '00', 'A'])}{n:03d}", NAMES[n % len(NAMES)]) for n in range(chance.randint(3, 12))
    ]
    prices = [Decimal(chance.randint(100, 250_000 if chance.random() < 0.2 else 9_900)) / 100 for _ in products]
    at = datetime(2026, chance.randint(1, 6), 1, 9, 0)
    orders = []
    start = chance.choice([1, 1001, 40_000_000_000])
    for number in range(chance.randint(15, 45)):
        at += timedelta(minutes=chance.randint(30, 3_000))
        at = at.replace(hour=chance.randint(8, 21))
        lines = []
        for place in chance.sample(range(len(products)), chance.randint(1, min(4, len(products)))):
            rate = chance.choice([Decimal(0)] * 3 + [Decimal("0.1"), Decimal("0.25")])
            lines.append(Line(*products[place], chance.choice([1, 1, 2, 3, 5]), prices[place], rate))
        state = chance.choices(["sale", "cancelled", "returned"], [18, 1, 1])[0]
        orders.append(Order(str(start + number), at, f"c{chance.randint(1, 25)}@example.com", state, lines))
    return orders


def _number(form: str) -> Callable[[Decimal], str]:
    def write(value: Decimal) -> str:
        grouped, plain = f"{value:,.2f}", f"{value:.2f}"
        swapped = grouped.translate(str.maketrans(",.", ".,"))
        return {
            "1234.50": plain,
            "1,234.50": grouped,
            "1.234,50": swapped,
            "1234,50": plain.replace(".", ","),
            "$1,234.50": f"${grouped}".replace("$-", "-$"),
            "1.234,50 €": f"{swapped} €",
            "cents": str(int(value * 100)),
        }[form]

    return write


_TIMES: dict[str, str] = {
    "iso": "%Y-%m-%d %H:%M:%S",
    "iso T": "%Y-%m-%dT%H:%M:%S",
    "day first": "%d/%m/%Y %H:%M",
    "month first": "%m/%d/%Y %H:%M",
    "dots": "%d.%m.%Y %H:%M",
    "month first, 12 hours": "%m/%d/%Y %I:%M %p",
    "dates": "%Y-%m-%d",
    "dates, day first": "%d/%m/%Y",
    "dates, month first": "%m/%d/%Y",
    "named": "%b %d, %Y %H:%M",
}


def _time(form: str, chance: random.Random) -> Callable[[datetime], str]:
    def write(at: datetime) -> str:
        local = at.replace(tzinfo=ZoneInfo(ZONE))
        if form in _TIMES:
            return at.strftime(_TIMES[form])
        match form:
            case "zoned":
                return local.isoformat(sep=" ")
            case "serial":
                return f"{(at - datetime(1899, 12, 30)) / timedelta(days=1):.6f}"
            case "epoch":
                return str(int(local.timestamp()))
            case "epoch, milliseconds":
                return str(int(local.timestamp() * 1000))
            case _:  # two forms in one file
                return at.strftime(chance.choice(["%d.%m.%Y %H:%M", "%d.%m.%y %H:%M"]))

    return write


def made(seed: int) -> Export:
    """Return the export of a seed."""
    chance = random.Random(seed)
    orders = _orders(chance)
    pick = {
        "delimiter": chance.choice([",", ",", ";", "\t", "|"]),
        "encoding": chance.choice(["utf-8", "utf-8", "utf-8-sig", "cp1252", "utf-16"]),
        "number": chance.choice(
            ["1234.50", "1234.50", "1,234.50", "1.234,50", "1234,50", "$1,234.50", "1.234,50 €", "cents"]
        ),
        "time": chance.choice([*_TIMES, "zoned", "serial", "epoch", "epoch, milliseconds", "two forms"]),
        "price": chance.choice(["unit", "unit", "line total", "after rate", "total and discount", "negative discount"]),
        "order columns": chance.choice(["repeated", "first row", "filled above"]),
        "header": chance.choice(["plain", "plain", "preamble", "repeated", "totals row", "blank rows"]),
        "line ids": chance.choice(["none", "none", "small", "large", "text"]),
        "words": chance.choice(list(WORDS)),
        "files": chance.choice(["one", "one", "by half", "again", "moved columns"]),
        "mapping": chance.choice(["told", "told", "careless"]),
    }
    writer = _Writer(pick, chance)
    files = {
        name: writer.text(some).encode(pick["encoding"], errors="replace")
        for name, some in writer.parts(orders).items()
    }
    entity = writer.mapping()
    net = sum((o.net for o in orders), Decimal(0))
    return Export(files, entity, pick, len(orders), net)


class _Writer:
    def __init__(self, pick: dict[str, str], chance: random.Random) -> None:
        self.pick, self.chance = pick, chance
        self.number, self.time = _number(pick["number"]), _time(pick["time"], chance)
        self.names = self._names()
        self.order = list(self.names)
        chance.shuffle(self.order)

    def _names(self) -> dict[str, str]:
        """Return our name -> the column's, of the columns that the export has."""
        names = {
            "order_id": "Order No",
            "ordered_at": "Date",
            "customer_id": "Customer",
            "customer_email": "E-mail",
            "status": "Status",
            "product_id": "SKU",
            "product_name": "Item",
            "quantity": "Qty",
        }
        match self.pick["price"]:
            case "unit":
                names |= {"unit_price": "Price", "discount_amount": "Discount"}
            case "line total" | "total and discount" | "negative discount":
                names |= {"line_total": "Amount", "discount_amount": "Discount"}
            case "after rate":
                names |= {"line_amount": "Sales", "discount_rate": "Discount"}
        if self.pick["line ids"] != "none":
            names["line_number"] = "Line"
        return names

    def parts(self, orders: list[Order]) -> dict[str, list[Order]]:
        half = len(orders) // 2
        match self.pick["files"]:
            case "by half" | "moved columns":
                return {"export_1.csv": orders[:half], "export_2.csv": orders[half:]}
            case "again":
                return {"export_1.csv": orders[: half + 3], "export_2.csv": orders[half - 3 :]}
        return {"export.csv": orders}

    def text(self, orders: list[Order]) -> str:
        if self.pick["files"] == "moved columns":
            self.chance.shuffle(self.order)
        out = io.StringIO()
        rows = csv.writer(out, delimiter=self.pick["delimiter"], lineterminator="\r\n")
        if self.pick["header"] == "preamble":
            out.write(f"Export of all orders\r\n\r\nCreated{self.pick['delimiter']}2026-09-01\r\n")
        header = [self.names[name] for name in self.order]
        rows.writerow(header)
        for place, order in enumerate(orders):
            if self.pick["header"] == "repeated" and place == len(orders) // 2:
                rows.writerow(header)
            if self.pick["header"] == "blank rows" and place % 7 == 3:
                rows.writerow([""] * len(header))
            for number, line in enumerate(order.lines, 1):
                values = self._values(order, line, number)
                rows.writerow([values[name] for name in self.order])
        if self.pick["header"] == "totals row":
            total = sum((line.total for o in orders for line in o.lines), Decimal(0))
            money = next(n for n in ("unit_price", "line_total", "line_amount") if n in self.names)
            # The word stands in the first column of the file, whichever that is.
            cells = {name: self.number(total) if name == money else "" for name in self.order}
            cells[self.order[0]] = "Total"
            rows.writerow([cells[name] for name in self.order])
        return out.getvalue()

    def _values(self, order: Order, line: Line, number: int) -> dict[str, str]:
        words = WORDS[self.pick["words"]][order.state]
        values = {
            "order_id": order.number,
            "ordered_at": self.time(order.at),
            "customer_id": order.customer,
            "customer_email": order.customer,
            "status": words[int(order.number) % len(words)],
            "product_id": line.product,
            "product_name": line.name,
            "quantity": str(line.quantity),
            "unit_price": self.number(line.price),
            "discount_amount": self.number(line.discount),
            "line_total": self.number(line.total),
            "line_amount": self.number(line.total - line.discount),
            "discount_rate": str(line.rate).replace(".", "," if "," in self.number(CENT) else "."),
            "line_number": {
                "none": "",
                "small": str(number),
                "large": f"{order.number}0000{number}",
                "text": f"L/{order.number}-{number}",
            }[self.pick["line ids"]],
        }
        if self.pick["price"] == "negative discount":
            values["discount_amount"] = self.number(-line.discount)
        shown_once = {"repeated": (), "first row": ("ordered_at", "customer_id", "customer_email", "status")}
        for name in shown_once.get(
            self.pick["order columns"], ("order_id", "ordered_at", "customer_id", "customer_email", "status")
        ):
            if number > 1:
                values[name] = ""
        return values

    def mapping(self) -> dict[str, Any]:
        """Return what the sources file says of order_lines."""
        columns: dict[str, Any] = dict(self.names)
        entity: dict[str, Any] = {"files": "*.csv", "columns": columns}
        if self.pick["mapping"] == "careless":
            # Line totals and rates taken for what they are not, nothing said of how values are written.
            for wrong, taken in (
                ("line_total", "unit_price"),
                ("line_amount", "unit_price"),
                ("discount_rate", "discount_amount"),
            ):
                if wrong in columns:
                    columns[taken] = columns.pop(wrong)
            return entity
        number, time = self.pick["number"], self.pick["time"]
        if number in ("1.234,50", "1.234,50 €"):
            entity |= {"decimal": ",", "thousands": "."}
        if number == "1234,50":
            entity["decimal"] = ","
        if number in ("1,234.50", "$1,234.50"):
            entity["thousands"] = ","
        if number == "cents":
            for name in ("unit_price", "line_total", "line_amount", "discount_amount"):
                if name in columns:
                    columns[name] = {"column": columns[name], "factor": 0.01}
        if time in _TIMES:
            entity["timestamp_formats"] = [_TIMES[time]]
        if time == "two forms":
            entity["timestamp_formats"] = ["%d.%m.%Y %H:%M", "%d.%m.%y %H:%M"]
        if self.pick["order columns"] == "filled above":
            entity["fill_down"] = ["order_id"]
        return entity


def outcome(export: Export) -> tuple[str, str]:
    """Return `right`, `refused` or `wrong`, and what was found."""
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        shop = SmallShop(
            Path(folder),
            entities={"order_lines": export.entity},
            shop={"currency": "USD", "time_zone": ZONE},
            source={"time_zone": ZONE},
        )
        for name, content in export.files.items():
            path = shop.exports / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            warehouse = shop.build()
            audit = shop.audit(warehouse)
        except PipelineError as error:
            return "refused", str(error)
        found = one(warehouse, "select sum(net_amount) from warehouse.fact_orders") or Decimal(0)
        orders = one(warehouse, "select count(*) from warehouse.fact_orders")
        shown = f"{orders} orders of {export.orders}, net {found} of {export.net}"
        if audit.reasons:
            return "refused", f"{shown}: {'; '.join(audit.reasons)}"
        is_right = orders == export.orders and abs(found - export.net) < CENT
        return ("right" if is_right else "wrong"), shown


def fault(seed: int, export: Export | None = None) -> str:
    """Return what is wrong with an export's outcome: silently wrong, refused though told rightly, an error of ours."""
    export = export or made(seed)
    try:
        ended, found = outcome(export)
    except Exception as error:
        ended, found = "broken", f"{type(error).__name__}: {error}"
    told = export.choices["mapping"] == "told"
    return "" if ended == "right" or (ended == "refused" and not told) else f"{seed} {ended}: {found}; {export.choices}"
