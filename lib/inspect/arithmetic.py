"""What arithmetic shows of lines: which amounts are of a piece, of the line, of the order; which numbers begin anew."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lib.inspect.values import NumberForm, Values, number


@dataclass
class Guess:
    """An entity and its mapping, as far as names and values show them.

    `options` are other keys of the entity, `comments` reasons by column or key, `missing` what is needed and was not
    found, with what was looked for.
    """

    entity: str
    columns: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def is_hopeless(self) -> bool:
        """Whether so little was found that the document is likely something else."""
        by_name = {ours for ours, m in self.columns.items() if isinstance(m, str) and ours not in self.comments}
        if self.entity == "order_lines" and not {"order_id", "quantity"} & by_name:
            return True
        return bool(self.missing) and (len(by_name - {"currency"}) < 2 or len(self.missing) > 2)


@dataclass
class Lines:
    """The lines of a document: which amounts are of one piece, of the line and of the order, by arithmetic."""

    found: Guess
    named: Mapping[str, Values]
    form: NumberForm
    made: dict[str, list[str | None]] = field(default_factory=dict)

    def numbers(self, ours: str) -> list[float | None] | None:
        name = self.found.columns.get(ours)
        if not isinstance(name, str):
            return None
        return [number(text, self.form.decimal, self.form.thousands) for text in self.named[name].texts]

    def texts(self, ours: str) -> list[str | None] | None:
        if ours in self.made:
            return self.made[ours]
        name = self.found.columns.get(ours)
        return list(self.named[name].texts) if isinstance(name, str) else None

    def rates(self) -> list[float | None] | None:
        """Return the rates of discounts as shares: 10 under a name with a percent sign is 0.1."""
        name = self.found.columns.get("discount_rate")
        values = self.numbers("discount_rate")
        if values is None or not isinstance(name, str):
            return None
        if any("%" in text for text in self.named[name].given):
            return [value and value / 100 for value in values]
        if max((abs(value) for value in values if value), default=0) > 1:
            self.found.columns["discount_rate"] = {"column": name, "factor": 0.01}
            self.found.comments["discount_rate"] = "in percent"
            return [value and value / 100 for value in values]
        return values

    def prices(self) -> None:
        """Tell prices of one piece from totals of lines."""
        columns, comments = self.found.columns, self.found.comments
        quantity = self.numbers("quantity")
        if quantity is None:
            return
        totals = self.numbers("line_total") or self.numbers("line_amount")
        which = "line_total" if "line_total" in columns else "line_amount"
        price = self.numbers("unit_price")
        discount = self.numbers("discount_amount")
        rate = self.rates()
        if price is not None and self._after_discount(price, quantity):
            return
        if price is not None and totals is not None:
            if rate is not None and not _fits(price, quantity, totals):
                cut = [p and p * (1 - (r or 0)) for p, r in zip(price, rate, strict=True)]
                if _fits(cut, quantity, totals):
                    columns["line_amount"] = columns.pop(which)
                    comments["line_amount"] = "quantity x price less the discount's rate comes to it"
                    return
            if which == "line_total" and discount is not None and not _fits(price, quantity, totals):
                less = [None if t is None else t + abs(d or 0) for t, d in zip(totals, discount, strict=True)]
                if _fits(price, quantity, less):
                    columns["line_amount"] = columns.pop("line_total")
                    comments["line_amount"] = "quantity x price less the discount comes to it"
                    return
            if _fits(price, quantity, totals):
                comments[which] = "quantity x price comes to it"
                if which == "line_amount":
                    columns["line_total"] = columns.pop("line_amount")
                    comments["line_total"] = comments.pop("line_amount")
                return
            swapped = _fits(totals, quantity, price)
            if swapped:
                columns["unit_price"], columns["line_total"] = columns[which], columns["unit_price"]
                if which == "line_amount":
                    del columns["line_amount"]
                comments["unit_price"] = "quantity x this comes to the other amount, whatever their names"
                return
            self.found.doubts.append(
                f"{columns['unit_price']!r} x {columns['quantity']!r} does not come to {columns[which]!r}: only the"
                " price is used; see what else the total holds"
            )
            comments["unit_price"] = f"{columns[which]} is left out, as it is not quantity x price"
            del columns[which]
            return
        for ours in ("unit_price", "line_total"):
            if ours in columns:
                self._one_amount(ours, quantity)
                return

    def _after_discount(self, price: list[float | None], quantity: list[float | None]) -> bool:
        """Tell a total before the discount from one after it, and rates from amounts, by the rows with a discount.

        Return whether they show it.
        """
        columns, comments = self.found.columns, self.found.comments
        role = "discount_rate" if "discount_rate" in columns else "discount_amount"
        which = next((c for c in ("line_amount", "line_total", "total_amount") if isinstance(columns.get(c), str)), "")
        name, total = self._raw_name(role), self._raw_name(which)
        if not name or not total or not isinstance(columns.get("unit_price"), str):
            return False
        off, totals = self._numbers_of(name), self.numbers(which) or []
        rows = [
            (p * q, abs(d), t)
            for p, q, d, t in zip(price, quantity, off, totals, strict=True)
            if p is not None and q is not None and t is not None and d
        ]
        if which == "total_amount" and len(rows) < 3:
            return False
        if not rows:
            if which != "total_amount":
                self.found.doubts.append(
                    f"no row has a discount that shows whether {total!r} is before or after {name!r}; taken as"
                    f" {'after' if which == 'line_amount' else 'before'} it"
                )
            return False
        signed = any("%" in text for text in self.named[name].given)
        readings = {
            "before": [whole for whole, _, _ in rows],
            "percent": [whole * (1 - d / 100) for whole, d, _ in rows],
            "share": [whole * (1 - d) for whole, d, _ in rows],
            "amount": [whole - d if whole >= 0 else whole + d for whole, d, _ in rows],
        }
        fitting = [
            kind
            for kind, values in readings.items()
            if sum(abs(v - t) <= 0.011 + 0.0005 * abs(t) for v, (_, _, t) in zip(values, rows, strict=True))
            >= 0.9 * len(rows)
        ]
        if signed or max(d for _, d, _ in rows) > 1:
            fitting = [kind for kind in fitting if kind != "share"]
        if not fitting or fitting == ["before"] or (which == "total_amount" and "before" in fitting):
            if not fitting and which != "total_amount":
                self.found.doubts.append(
                    f"{total!r} is neither {columns['unit_price']!r} x {columns['quantity']!r} nor that less {name!r}"
                    f" in the {len(rows):,} row{'s' * (len(rows) != 1)} with a discount: see what it holds"
                )
            return False
        usual = "amount" if role == "discount_amount" else "percent"
        kind = usual if usual in fitting else next(kind for kind in fitting if kind != "before")
        del columns[role]
        if kind == "amount":
            columns["discount_amount"] = name
        else:
            columns["discount_rate"] = {"column": name, "factor": 0.01} if kind == "percent" and not signed else name
            comments["discount_rate"] = "in percent, as the totals show" if kind == "percent" else "as the totals show"
        if which != "total_amount":
            if which != "line_amount":
                columns["line_amount"] = columns.pop(which)
                comments.pop(which, None)
            less = "the discount" if kind == "amount" else "the discount's rate"
            comments["line_amount"] = f"quantity x price less {less} comes to it"
        if len(fitting) > 1 or len(rows) < 3:
            self.found.doubts.append(
                f"only {len(rows):,} row{'s' * (len(rows) != 1)} with a discount show{'s' * (len(rows) == 1)} what"
                f" {name!r} is ({'an amount' if kind == 'amount' else 'a rate'}), and that {total!r} is after it"
            )
        return True

    def _raw_name(self, ours: str) -> str:
        mapping = self.found.columns.get(ours)
        name = mapping.get("column") if isinstance(mapping, dict) else mapping
        return name if isinstance(name, str) else ""

    def _numbers_of(self, name: str) -> list[float | None]:
        return [number(text, self.form.decimal, self.form.thousands) for text in self.named[name].texts]

    def _one_amount(self, ours: str, quantity: list[float | None]) -> None:
        columns, comments = self.found.columns, self.found.comments
        off = self._raw_name("discount_rate") or self._raw_name("discount_amount")
        if ours == "line_total" and off and any(self._numbers_of(off)):
            self.found.doubts.append(
                f"whether {columns[ours]!r} is before or after {off!r} cannot be seen without a price of one piece;"
                " taken as before: call it line_amount where it is after"
            )
        values = self.numbers(ours) or []
        verdict, why = self._unit_or_line(values, quantity)
        if verdict is None:
            if any(q not in (None, 1.0) for q in quantity):
                word = "of one piece" if ours == "unit_price" else "of the whole line"
                self.found.doubts.append(
                    f"{columns[ours]!r} is taken as the price {word}, as its name says; nothing in the values shows it"
                )
            return
        right = "unit_price" if verdict == "unit" else "line_total"
        comments[right] = why
        if right != ours:
            columns[right] = columns.pop(ours)
            comments.pop(ours, None)
            self.found.doubts.append(f"{columns[right]!r}: {why}")

    def _unit_or_line(self, values: list[float | None], quantity: list[float | None]) -> tuple[str | None, str]:
        """Return whether an amount is of a `unit` or of a `line`, and why: by orders' totals, else by product."""
        totals, orders = self.numbers("total_amount"), self.texts("order_id")
        if totals is not None and orders is not None:
            sums: dict[str, list[float]] = {}
            for order, total, value, q in zip(orders, totals, values, quantity, strict=True):
                if order is None or value is None or q is None:
                    continue
                s = sums.setdefault(order, [0.0, 0.0, 0.0])
                s[0] = s[0] if total is None else total
                s[1] += value * q
                s[2] += value
            apart = [s for s in sums.values() if abs(s[1] - s[2]) > 0.005 and s[0]]
            unit = sum(abs(s[0] - s[1]) < abs(s[0] - s[2]) for s in apart)
            if len(apart) and max(unit, len(apart) - unit) / len(apart) >= 0.8:
                verdict = "unit" if unit * 2 > len(apart) else "line"
                return (
                    verdict,
                    f"the orders' totals show that it is of {'one piece' if verdict == 'unit' else 'the whole line'}",
                )
        products = self.texts("product_id") or self.texts("product_name")
        if products is None:
            return None, ""
        by_product: dict[str, dict[float, float]] = defaultdict(dict)
        for product, value, q in zip(products, values, quantity, strict=True):
            if product and value and q:
                by_product[product].setdefault(abs(q), abs(value))
        unit = line = 0
        for prices in by_product.values():
            pairs = sorted(prices.items())
            for (q1, v1), (q2, v2) in pairwise(pairs):
                unit += abs(v1 - v2) <= 0.01 * max(v1, v2)
                line += abs(v1 / q1 - v2 / q2) <= 0.01 * max(v1 / q1, v2 / q2)
        if unit + line == 0 or max(unit, line) / (unit + line) < 0.7:
            return None, ""
        if unit > line:
            return "unit", "it is the same whatever the quantity of a product"
        return "line", "it grows in step with the quantity of a product: the whole line's"

    def discounts(self) -> None:
        """Tell rates from amounts."""
        columns = self.found.columns
        self.rates()
        name = columns.get("discount_amount")
        if not isinstance(name, str) or "line_amount" in columns:
            return
        values = [abs(v) for v in self.numbers("discount_amount") or [] if v]
        if not values:
            return
        if all(
            "%" in text or number(text, self.form.decimal, self.form.thousands) == 0 for text in self.named[name].given
        ):
            is_rate = True
        else:
            is_rate = max(values) <= 1 and any(v != 1 for v in values)
        if is_rate:
            columns["discount_rate"] = columns.pop("discount_amount")
            self.found.comments["discount_rate"] = "all values lie between 0 and 1: rates"

    def levels(self) -> None:
        """Tell what is the order's, stated once or on each of its rows, from what is each line's own."""
        columns, comments = self.found.columns, self.found.comments
        orders = self.texts("order_id")
        if orders is None:
            return
        self._repeated_totals(orders)
        for ours, own in (("shipping_amount", "line_shipping_amount"), ("tax_amount", "line_tax_amount"),
                          ("discount_amount", "order_discount_amount"), ("total_amount", "line_total")):  # fmt: skip
            values = self.numbers(ours)
            if values is None:
                continue
            by_order: dict[str, list[float | None]] = defaultdict(list)
            for order, value in zip(orders, values, strict=True):
                if order is not None:
                    by_order[order].append(value)
            several = [given for given in by_order.values() if len(given) > 1 and any(given)]
            alike = sum(len({v for v in given if v is not None}) == 1 for given in several)
            once = sum(given[0] is not None and all(v in (None, 0) for v in given[1:]) for given in several)
            if not several:
                continue
            is_orders = (alike + once) / len(several) >= 0.9
            if ours == "discount_amount":
                # Equal discounts of two lines are common; of all orders of several lines they are the order's.
                if alike == len(several) and len(several) >= 3 and own not in columns:
                    self.found.doubts.append(
                        f"{columns[ours]!r} is the same on all rows of each order: where it is the whole order's,"
                        f" call it {own}"
                    )
                continue
            if not is_orders and own not in columns:
                columns[own] = columns.pop(ours)
                comments[own] = "it differs between the rows of an order, so it is each line's own"
            elif not is_orders:
                self.found.doubts.append(f"{columns.pop(ours)!r} differs between the rows of an order, and is left out")

    def _repeated_totals(self, orders: list[str | None]) -> None:
        """Take an only amount for the order's where it is the same on all lines of each order of several lines."""
        columns = self.found.columns
        amounts = [c for c in ("unit_price", "line_total", "line_amount", "total_amount") if c in columns]
        if len(amounts) != 1 or (values := self.numbers(amounts[0])) is None:
            return
        pieces = self.numbers("quantity") or [None] * len(values)
        products = self.texts("product_id") or self.texts("product_name") or [None] * len(values)
        by_order: dict[str, list[tuple[float | None, tuple[float | None, str | None]]]] = defaultdict(list)
        for order, value, *line in zip(orders, values, pieces, products, strict=True):
            if order is not None and value is not None:
                by_order[order].append((value, (line[0], line[1])))  # type: ignore[arg-type]
        several = [own for own in by_order.values() if len({line for _, line in own}) > 1]
        if len(several) < 2 or any(len({value for value, _ in own}) > 1 for own in several):
            return
        if len({own[0][0] for own in several}) < 2:
            return
        name = columns.pop(amounts[0])
        self.found.comments.pop(amounts[0], None)
        columns["total_amount"] = name
        self.found.comments["total_amount"] = "the same on all lines of each order, so it is the order's"
        self.found.doubts.append(
            f"{name!r} is the same on all lines of each of {len(several):,} orders with several lines: it is the"
            " order's total, and no column has an amount of each line"
        )

    def used_again(self) -> None:
        """Tell numbers that begin anew, such as each year, from those that are one order's for ever."""
        columns = self.found.columns
        orders, people, times = self.texts("order_id"), self.texts("customer_id"), self.texts("ordered_at")
        if orders is None or times is None or not isinstance(columns["order_id"], str):
            return
        several: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for at, (order, time) in enumerate(zip(orders, times, strict=True)):
            if order and time and (year := _year(time)):
                several[order].add((year, (people[at] if people else None) or ""))
        again = {o: found for o, found in several.items() if len({year for year, _ in found}) > 1}
        other = [o for o, found in again.items() if len({who for _, who in found if who}) > 1]
        mixed = [o for o, found in several.items() if len({who for _, who in found if who}) > 1 and o not in again]
        if len(mixed) > 0.02 * len(several):
            self.found.doubts.append(
                f"{columns['order_id']!r} {mixed[0]!r} and {len(mixed) - 1:,} more are of several customers: is it an"
                " order's number?"
            )
        by_year = {(o, y): {w for yy, w in found if yy == y and w} for o, found in several.items() for y, _ in found}
        if other and all(len(who) <= 1 for who in by_year.values()):
            order, time = (str(columns[c]).replace('"', '""') for c in ("order_id", "ordered_at"))
            sql = f"""regexp_extract("{time}", '\\d{{4}}') || '-' || "{order}\""""
            columns["order_id"] = {"sql": sql}
            self.made["order_id"] = [o and f"{_year(t or '')}-{o}" for o, t in zip(orders, times, strict=True)]
            self.found.comments["order_id"] = f"{other[0]!r} is used again in another year for another customer"
            self.found.doubts.append(
                f"order numbers are used again each year ({other[0]!r} is one); they are told apart by the year"
            )
        elif other:
            self.found.doubts.append(
                f"the order number {other[0]!r} belongs to several customers; those far apart in time are held apart or"
                " refused: see id_prefixes, or build the id from two columns with {sql: ...}"
            )


def _year(text: str) -> str:
    found = re.search(r"(?<!\d)(?:19|20)\d{2}(?!\d)", text)
    return found[0] if found else ""


def _fits(price: Sequence[float | None], quantity: Sequence[float | None], total: Sequence[float | None]) -> bool:
    """Return whether quantity x price comes to the total in nearly all rows, one at least of more pieces than one."""
    rows = [(p, q, t) for p, q, t in zip(price, quantity, total, strict=True) if None not in (p, q, t)]
    right = sum(abs(p * q - t) <= 0.011 + 0.0005 * abs(t) for p, q, t in rows)  # type: ignore[operator,arg-type]
    return bool(rows) and right / len(rows) >= 0.9
