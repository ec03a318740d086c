"""The sentences of a page agree with the warehouse and with each other, whatever a shop has and does not have.

Read are `06_insights` and the first screen of `05_quality`, of the exports beside the project (skipped where they are
absent) and of three shops made here. Each check returns what is wrong, and is shown to find what it looks for.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, Shop, soaking

EXPORTS = (PROJECT / os.environ.get("EXPORTS_DIR", "../shared/data/exports")).resolve()
MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December) \d{4}"
NUMBER = r"−?\d[\d,]*(?:\.\d+)?(?: (?:k|M|bn)\b)?"


# A page as its reader sees it


@dataclass(frozen=True)
class Page:
    """What a page says: its heading, the sentences below it, key figures and what they are about, and all the rest."""

    heading: str = ""
    lede: str = ""
    period: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    badges: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """Every text of the page."""
        return [self.heading, self.lede, *self.figures, *self.figures.values(), *self.titles, *self.prose]

    @property
    def findings(self) -> list[str]:
        """The texts that state figures: no definitions, and no words of a notebook's author."""
        return [self.heading, self.lede, *self.titles]


class _Reader(HTMLParser):
    """Collects the text of each element that holds sentences, by its tag and class."""

    HELD = ("h1", "h3", "p", "li", "caption", "summary")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.open: list[list[str]] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "svg" and given.get("aria-label"):
            self.found.append(("alt", str(given["aria-label"])))
        self.silent += tag in ("style", "svg", "pre", "nav", "footer", "table")
        if not self.silent and (tag in self.HELD or (tag == "span" and "badge" in str(given.get("class")))):
            self.open.append([tag, str(given.get("class") or ""), ""])

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("style", "svg", "pre", "nav", "footer", "table")
        if self.open and self.open[-1][0] == tag:
            name, kind, text = self.open.pop()
            self.found.append((f"{name} {kind}".strip(), " ".join(text.split())))

    def handle_data(self, data: str) -> None:
        if self.open and not self.silent:
            self.open[-1][2] += data


def read_page(html: str) -> Page:
    """Return what a page says."""
    reader = _Reader()
    reader.feed(html.replace("\N{NO-BREAK SPACE}", " "))

    def texts(*kinds: str) -> list[str]:
        return [text for kind, text in reader.found if kind in kinds and text]

    figures = dict(zip(texts("p k"), texts("p v"), strict=True))
    apart = {"h1", "p lede", "p of", "p k", "p v", "p d", "h3", "span badge"}
    rest = [text for kind, text in reader.found if kind not in apart and "badge" not in kind and text]
    return Page(
        heading=" ".join(texts("h1")),
        lede=" ".join(texts("p lede")),
        period=" ".join(texts("p of")),
        figures=figures,
        badges=tuple(text for kind, text in reader.found if kind.startswith("span badge")),
        titles=tuple(texts("h3")),
        prose=tuple(rest),
    )


# What is so


@dataclass(frozen=True)
class Known:
    """A shop as its published tables have it; amounts are sums over `fact_orders`."""

    currency: str = "EUR"
    orders: dict[str, int] = field(default_factory=dict)
    gross: float = 0.0
    discount: float = 0.0
    returned: float = 0.0
    cancelled: float = 0.0
    net: float = 0.0
    returning: float = 0.0
    months: dict[str, tuple[float, int, bool]] = field(default_factory=dict)
    products: int = 0
    categories: int = 0
    customers: int = 0
    methods: int = 0
    channels: int = 0
    costs: bool = False
    hours: bool = False
    sessions: int = 0
    purchases: int = 0
    purchase_amount: float = 0.0
    quarantined: int = 0
    unaccounted: int = 0

    @property
    def all_orders(self) -> int:
        return sum(self.orders.values())


def known(shop: Shop, currency: str) -> Known:
    """Return what a shop's published tables say."""

    def one(sql: str) -> Any:
        ((value,),) = shop.ask(sql)
        return value or 0

    def amount(column: str, where: str = "true") -> float:
        return float(one(f"select sum({column}) from warehouse.fact_orders where {where}"))

    months = shop.ask("select month, net_amount, orders, is_complete from analytics.monthly_sales order by month")
    return Known(
        currency=currency,
        orders=dict(shop.ask("select order_type, count(*) from warehouse.fact_orders group by order_type")),
        gross=amount("gross_amount"),
        discount=amount("discount_amount"),
        returned=amount("return_amount", "order_type <> 'cancellation'"),
        cancelled=amount("return_amount", "order_type = 'cancellation'"),
        net=amount("net_amount"),
        returning=float(one("select sum(abs(returning_net_amount)) from analytics.customer_growth")),
        months={f"{month:%B %Y}": (float(net or 0), orders, whole) for month, net, orders, whole in months},
        products=one(
            "select count(*) from analytics.product_summary"
            " where product_id <> 'unknown' and product_type = 'product' and net_amount > 0"
        ),
        categories=one(
            "select count(*) from analytics.category_summary where category <> 'Unknown' and net_amount > 0"
        ),
        customers=one("select count(distinct customer_id) from warehouse.fact_orders where customer_id <> 'unknown'"),
        methods=one("select count(*) from analytics.payment_summary where paid_amount > 0"),
        channels=one("select count(distinct channel) from warehouse.fact_orders"),
        costs=bool(one("select count(margin_amount) from warehouse.fact_orders")),
        hours=bool(one("select count(*) from warehouse.fact_orders where order_hour <> 0")),
        sessions=one("select count(*) from warehouse.fact_sessions"),
        purchases=one("select count(*) from warehouse.fact_sessions where is_converted"),
        purchase_amount=float(one("select sum(purchase_amount) from warehouse.fact_sessions")),
        quarantined=int(one("select sum(quarantined_rows) from quality.row_accounting")),
        unaccounted=int(one("select sum(unaccounted_rows) from quality.row_accounting")),
    )


# The checks


def whole(text: str) -> int:
    return int(text.replace(",", "").replace("−", "-"))


def close(text: str, exact: float) -> bool:
    """Whether a number as pages write it (`950`, `8,276`, `214.6 k`, `1.24 M`) is the exact one, rounded."""
    digits, _, unit = text.replace("\N{NO-BREAK SPACE}", " ").partition(" ")
    scale = {"k": 1e3, "M": 1e6, "bn": 1e9}.get(unit, 1.0)
    decimals = len(digits.partition(".")[2])
    stated = float(digits.replace(",", "").replace("−", "-"))
    return abs(stated * scale - exact) <= 0.5001 * scale / 10**decimals


def wrong(text: str, exact: float, sentence: str) -> list[str]:
    return [] if close(text, exact) else [f"{text} is {exact:,.2f}: {sentence}"]


def denials(page: Page, shop: Known) -> list[str]:
    """What is there is not denied: no "no sales yet" beside three orders."""
    denied = []
    if shop.all_orders:
        denied += [r"\bno sales\b", r"\bno orders?\b(?! on )", r"\bno order lines\b"]
    if shop.gross > 0:
        denied += [r"none of them with an amount", r"no net revenue"]
    if shop.purchases:
        denied += [r"none of which ended in a purchase", r"no session ended"]
    if shop.customers:
        denied += [r"no known customer has bought"]
    return [text for text in page.sentences for pattern in denied if re.search(pattern, text, re.I)]


def orders(page: Page, shop: Known) -> list[str]:
    """The number of orders is that of `fact_orders`, or of the month that a key figure is about."""
    found = []
    kinds = {"cancelled": "cancellation", "returned": "return", "without a sale": "adjustment"}
    for text in page.findings:
        for total, parts in re.findall(r"took ([\d,]+) orders?(?: \(([^)]*)\))?", text):
            found += wrong(total, shop.all_orders, text)
            for number, kind in re.findall(r"([\d,]+) (\w[\w ]*?)(?=,| and |$)", parts):
                found += wrong(number, shop.orders.get(kinds.get(kind, kind), 0), text)
            named = {kinds.get(k, k) for _, k in re.findall(r"([\d,]+) (\w[\w ]*?)(?=,| and |$)", parts)}
            missing = {k for k, n in shop.orders.items() if k != "sale" and n} - named
            found += [f"not told: {missing}: {text}"] if missing else []
        for total in re.findall(r"^([\d,]+) orders?, none", text):
            found += wrong(total, shop.all_orders, text)
        for total in re.findall(r"^([\d,]+) orders? brought", text):
            found += wrong(total, shop.orders.get("sale", 0), text)
        for total in re.findall(r"^([\d,]+) orders?, all between", text):
            found += [] if whole(total) <= shop.all_orders else [text]
    sold = shop.orders.get("sale", 0) if shop.gross > 0 else shop.all_orders
    expected = shop.months[page.period][1] if page.period in shop.months else sold
    for label in ("Orders", "Orders sold"):
        if label in page.figures:
            found += wrong(page.figures[label], expected, f"{label}, {page.period}")
    if "Orders" in page.figures and shop.gross > 0 and len(shop.orders) > 1:
        found += ["Orders that were cancelled or returned are not in the figure, and its name does not say so"]
    return found


def returning(page: Page, shop: Known) -> list[str]:
    """Nobody is said to have come back only where nobody has, and shares of one period are the same."""
    nobody = [text for text in page.findings if "has come back yet" in text]
    found = nobody if shop.returning else []
    part = next((text for label, text in page.figures.items() if label == "Returning customers"), "")
    if part and (nobody or not shop.returning):
        found += [f"Returning customers {part}, but nobody came back"]
    for title in page.titles:
        for stated, period in re.findall(r"brought (\d+) % of known customers' revenue, (.+)$", title):
            if part and period == page.period and not close(stated, float(part.rstrip(" %"))):
                found += [f"{part} beside {title}"]
    return found


def net_revenue(page: Page, shop: Known) -> list[str]:
    """Net revenue is the same in heading, sentences, key figures and charts, and that of its month."""
    found = []
    for text in page.findings:
        for amount in re.findall(rf"took .*?: ({NUMBER})(?: [A-Z]{{3}})? net", text):
            found += wrong(amount, shop.net, text)
        for amount in re.findall(rf"({NUMBER})(?: [A-Z]{{3}})? of net revenue", page.heading):
            found += wrong(amount, shop.net, text)
    for month, amount in re.findall(rf"({MONTH}) brought ({NUMBER})", " · ".join(page.findings)):
        if month not in shop.months:
            found += [f"there is no {month}"]
            continue
        net, number, is_complete = shop.months[month]
        found += wrong(amount, net, f"{month} brought {amount}")
        if month in page.heading and not (is_complete and number >= 5):
            found += [f"{month} with {number} orders bears no headline"]
        if month in page.heading and month != page.period:
            found += [f"the heading is about {month}, the key figures are about {page.period}"]
    for label, text in page.figures.items():
        if label.startswith("Net revenue"):
            expected = shop.months[page.period][0] if page.period in shop.months else shop.net
            found += wrong(text, expected, f"{label}, {page.period}")
    for text in page.prose:
        for step, amount in re.findall(rf"(Gross|Net) ({NUMBER})", text if text.startswith("Bars from gross") else ""):
            found += wrong(amount, shop.gross if step == "Gross" else shop.net, text)
    return found


def percentages(page: Page, shop: Known) -> list[str]:
    """A share is between 0 and 100; a margin may be below 0, and a change beyond both."""
    found = []
    shares = {label: text for label, text in page.figures.items() if text.endswith("%")}
    for text in [*page.findings, *page.prose, *(f"{label} {text}" for label, text in shares.items())]:
        for match in re.finditer(r"([−+]?)(\d[\d,]*(?:\.\d+)?) %", text):
            sign, number = match[1], float(match[2].replace(",", ""))
            before, after = text[: match.start()].lower(), text[match.end() :]
            if re.match(r" (more|less) than", after) or sign == "+":
                continue
            negative_margin = sign == "−" and "margin" in (before + after).lower()
            if (sign == "−" and not negative_margin) or (number > 100 and not negative_margin):
                found.append(f"{match[0]}: {text}")
    return found


def leaders(page: Page, shop: Known) -> list[str]:
    """Nothing leads of one alone, and nothing is announced of a few orders."""
    alone = {
        r"leads with|largest category|best margin": shop.categories,
        r"best seller|led by|of \d+ products": shop.products,
        r"amount paid": shop.methods,
        r"Segments|best fifth of customers": shop.customers - 3,
        r"best fifth of products": shop.products - 3,
        r"busiest": sum(shop.orders.values()) - 28,
        r"best of the": len(shop.months),
    }
    return [
        text for pattern, number in alone.items() for text in page.findings if number < 2 and re.search(pattern, text)
    ]


def what_is_absent(page: Page, shop: Known) -> list[str]:
    """Nothing is said of what the shop does not have: returns, costs, hours, customers, sessions."""
    absent = {
        r"\breturns?\b|\breturned\b|came back or|comes back most|\brefund": shop.returned > 0,
        r"\bcancell?(ed|ations?)\b": shop.cancelled > 0 or shop.orders.get("cancellation", 0) > 0,
        r"\bdiscounts?\b": shop.discount > 0,
        r"\bmargins?\b|\bcosts?\b": shop.costs,
        r"\b\d{1,2}:00\b|\bhours?\b": shop.hours,
        r"\bcustomers?\b": shop.customers > 0,
        r"\bsessions?\b|\bvisits?\b": shop.sessions > 0,
        r"\bpayments?\b|\bamount paid\b|how do buyers pay": shop.methods > 1,
        r"\bproducts?\b(?! view)": shop.products > 0,
        r"\bcategor(y|ies)\b": shop.categories > 0,
    }
    return [
        f"{pattern}: {text}"
        for pattern, is_there in absent.items()
        if not is_there
        for text in page.sentences
        if re.search(pattern, text, re.I) and not text.startswith(ABOUT)
    ]


#: The page's introduction says what a report of any shop is.
ABOUT = ("In: the tables", "About this page")


def purchases(page: Page, shop: Known) -> list[str]:
    """What the events of a shop without orders say of its purchases."""
    found = []
    for text in page.findings:
        for amount in re.findall(rf"Purchases worth ({NUMBER})", text):
            found += wrong(amount, shop.purchase_amount, text)
        for converted, sessions in re.findall(r"([\d,]+) of ([\d,]+) sessions? ended in a purchase", text):
            found += wrong(converted, shop.purchases, text) + wrong(sessions, shop.sessions, text)
    for label, exact in {
        "Value of purchases": shop.purchase_amount,
        "Sessions with a purchase": shop.purchases,
        "Sessions": shop.sessions,
    }.items():
        for name, text in page.figures.items():
            if name.partition(",")[0] == label:
                found += wrong(text, exact, label)
    return found


def words(page: Page, shop: Known) -> list[str]:
    """No title is said twice, none holds what is no number, and amounts are in the shop's currency."""
    twice = [title for title in set(page.titles) if page.titles.count(title) > 1]
    odd = [t for t in page.sentences if re.search(r"\b(nan|None|NaT|inf|null)\b|–\s*%|\{|\}", t)]
    others = [t for t in page.findings for code in re.findall(rf"{NUMBER} ([A-Z]{{3}})\b", t) if code != shop.currency]
    return twice + odd + others


def the_gate(page: Page, shop: Known) -> list[str]:
    """The first screen of the quality page: score, grade and verdict are the same wherever they stand."""
    marks = " · ".join(page.badges)
    scores = set(re.findall(r"Score (\d+\.\d) · ([A-F])", marks))
    scores |= set(re.findall(r"(\d+\.\d) of 100, grade ([A-F])", page.heading))
    scores |= set(re.findall(r"^(\d+\.\d) · ([A-F])", page.figures.get("Score", "")))
    found = [f"several scores: {sorted(scores)}"] if len(scores) != 1 else []
    passed = {"Gate passed" in marks, not page.heading.startswith("Not to be published")}
    found += [f"{page.heading} beside {marks}"] if len(passed) > 1 else []
    if ("No row lost" in marks) != (shop.unaccounted == 0):
        found += [f"{shop.unaccounted} rows lost: {marks}"]
    return found + wrong(page.figures.get("In quarantine", "0"), shop.quarantined, "In quarantine")


CHECKS = (denials, orders, returning, net_revenue, percentages, leaders, what_is_absent, purchases, words)


def complaints(page: Page, shop: Known) -> list[str]:
    """Return what is wrong on a page of insights."""
    return [f"{check.__name__}: {text}" for check in CHECKS for text in check(page, shop)]


# The shops


def day(number: int) -> date:
    return date(2025, 1, 1) + timedelta(days=number)


def orders_only(folder: Path) -> dict[str, Any]:
    """Ninety days of orders with totals and a customer each, every ninth of them returned; no lines, no payments."""
    rows = [
        f"{n},{day(n)}T{8 + n % 12:02}:30:00,c{n % 17},{'returned' if n % 9 == 4 else 'completed'},{20 + n % 7}.50"
        for n in range(90)
    ]
    (folder / "orders.csv").write_text("\n".join(["id,at,who,status,total", *rows]) + "\n")
    columns = {"order_id": "id", "ordered_at": "at", "customer_id": "who", "status": "status", "total_amount": "total"}
    return {"kind": "files", "entities": {"orders": {"files": "orders.csv", "columns": columns}}}


def events_only(folder: Path) -> dict[str, Any]:
    """Three hundred visits on two devices in two months; every tenth ends in a purchase of 12.50."""
    rows = []
    for n in range(300):
        at, who = f"{day(n % 59)}T{n % 24:02}:{n % 60:02}", f"v{n},{('phone', 'laptop')[n % 2]}"
        rows += [f"e{n}a,{at}:00Z,page_view,{who},,", f"e{n}b,{at}:10Z,view_item,{who},,"]
        rows += [f"e{n}c,{at}:20Z,purchase,{who},o{n},12.50"] if n % 10 == 0 else []
    (folder / "events.csv").write_text("\n".join(["id,at,name,visitor,device,order,value", *rows]) + "\n")
    columns = {"event_id": "id", "event_at": "at", "event_type": "name", "visitor_id": "visitor"}
    columns |= {"device": "device", "order_id": "order", "value": "value"}
    return {"kind": "files", "entities": {"events": {"files": "events.csv", "columns": columns}}}


def one_product(folder: Path) -> dict[str, Any]:
    """One product, sold on dates without a time of day, to nobody who is known; some of it with a discount."""
    rows = [f"A{n},{day(n * 2)},BOOK,The book,{1 + n % 3},19.90,{n % 4 / 2}" for n in range(40)]
    (folder / "sales.csv").write_text("\n".join(["no,date,sku,name,qty,price,less", *rows]) + "\n")
    columns = {"order_id": "no", "ordered_at": "date", "product_id": "sku", "product_name": "name"}
    columns |= {"quantity": "qty", "unit_price": "price", "discount_amount": "less"}
    return {"kind": "files", "entities": {"order_lines": {"files": "sales.csv", "columns": columns}}}


MADE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "made_orders": orders_only,
    "made_events": events_only,
    "made_one_product": one_product,
}


def written(case: str, root: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the sources file of a case, mended where its own cannot say enough, and the variables that it needs."""
    if case in MADE:
        folder = root / "files"
        folder.mkdir()
        source = {"path": str(folder), "time_zone": "Europe/Berlin", **MADE[case](folder)}
        shop = {"name": case, "currency": "EUR", "time_zone": "Europe/Berlin"}
        return {"shop": shop, "sources": {"shop": source}}, {}
    content = yaml.safe_load((EXPORTS / case / "sources.yml").read_text(encoding="utf-8"))
    if find_spec("tests.test_exports"):
        from tests.test_exports import MENDED, laid_over

        content = laid_over(content, MENDED.get(case, {}))
    return content, {"CASE_DIR": str(EXPORTS / case / "files")}


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> Callable[[str], tuple[Page, Page, Known]]:
    """Return a function that runs a case once and returns its insights, its quality page, and what is so.

    Runs are published whatever the gate says: a page that nobody may publish must not contradict itself either.
    """
    done: dict[str, tuple[Page, Page, Known]] = {}

    def run(case: str) -> tuple[Page, Page, Known]:
        if case not in done:
            root = tmp_path_factory.mktemp("sentences")
            content, extra = written(case, root)
            shop = Shop(root, extra)
            (root / "sources.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
            ended = shop.run("--sources", str(root / "sources.yml"), "--no-gate")
            if ended.returncode == 2:
                pytest.skip(f"the mapping of {case} is not understood: {ended.stdout}{ended.stderr}")
            assert ended.returncode == 0, ended.stdout + ended.stderr
            (reports,) = shop.outputs.glob("runs/*/reports")
            pages = [read_page((reports / f"{n}.html").read_text("utf-8")) for n in ("06_insights", "05_quality")]
            done[case] = pages[0], pages[1], known(shop, content["shop"]["currency"])
        return done[case]

    return run


#: The exports, of which those that lack most are read always and the others by `make soak`: a run takes seconds.
FOUND = [path.name for path in sorted(EXPORTS.glob("*/")) if (path / "sources.yml").is_file()] or ["absent"]
CASES = [*MADE, *soaking(FOUND, ("absent", "orders_only", "shopify"))]


@pytest.mark.parametrize("case", CASES)
def test_the_sentences_of_a_page_agree_with_each_other_and_with_the_warehouse(read, case):
    if case == "absent":
        pytest.skip(f"the exports are not at {EXPORTS}")
    insights, quality, shop = read(case)
    assert insights.heading and (insights.figures or not (shop.all_orders or shop.sessions))
    assert complaints(insights, shop) == []
    assert the_gate(quality, shop) == []


# The checks find what they look for

GOOD = Page(
    heading="May 2026 brought 1,250 EUR, 150 % more than a year before",
    lede="Since May 2025 the shop took 60 orders (3 cancelled and 2 returned): 5,000 EUR net.",
    period="May 2026",
    figures={"Net revenue, EUR": "1,250", "Orders sold": "12", "Return rate": "2.0 %", "Margin": "−6.3 %"},
    titles=("Toys leads with 60 % of revenue", "Saturday is the busiest day, 20:00 to 21:00 the busiest hour"),
    prose=("Bars from gross sales to net revenue: Gross 5,600 EUR, Returns −300 EUR, Net 5,000 EUR.",),
)
SHOP = Known(
    orders={"sale": 55, "cancellation": 3, "return": 2},
    gross=5600.0,
    discount=200.0,
    returned=300.0,
    cancelled=100.0,
    net=5000.0,
    returning=400.0,
    months={"May 2025": (500.0, 20, True), "May 2026": (1250.0, 12, True)},
    products=9,
    categories=3,
    customers=20,
    methods=2,
    channels=2,
    costs=True,
    hours=True,
)


def test_a_page_without_a_fault_is_let_through():
    assert complaints(GOOD, SHOP) == []


@pytest.mark.parametrize(
    ("check", "page", "shop"),
    [
        (denials, replace(GOOD, heading="No sales yet"), SHOP),
        (denials, replace(GOOD, prose=("The warehouse holds no order lines.",)), SHOP),
        (denials, replace(GOOD, heading="2 sessions, none of which ended in a purchase"), Known(purchases=1)),
        (orders, replace(GOOD, lede=GOOD.lede.replace("60", "61")), SHOP),
        (orders, replace(GOOD, lede=GOOD.lede.replace("3 cancelled", "2 cancelled")), SHOP),
        (orders, replace(GOOD, lede=GOOD.lede.replace(" and 2 returned", "")), SHOP),
        (orders, replace(GOOD, figures={"Orders sold": "13"}), SHOP),
        (orders, replace(GOOD, figures={"Orders": "12"}), SHOP),
        (orders, replace(GOOD, heading="60 orders brought 5,000 EUR of net revenue"), SHOP),
        (returning, replace(GOOD, titles=("No known customer has come back yet, May 2026",)), SHOP),
        (returning, replace(GOOD, figures={"Returning customers": "4.3 %"}), replace(SHOP, returning=0.0)),
        (returning, replace(GOOD, figures={"Returning customers": "4.3 %"},
            titles=("Returning customers brought 9 % of known customers' revenue, May 2026",)), SHOP),
        (net_revenue, replace(GOOD, heading=GOOD.heading.replace("1,250", "1,251")), SHOP),
        (net_revenue, replace(GOOD, heading=GOOD.heading.replace("May 2026", "May 2025")), SHOP),
        (net_revenue, replace(GOOD, lede=GOOD.lede.replace("5,000", "5,001")), SHOP),
        (net_revenue, replace(GOOD, figures={"Net revenue, EUR": "5,000"}), SHOP),
        (net_revenue, replace(GOOD, prose=(GOOD.prose[0].replace("Net 5,000", "Net 5,100"),)), SHOP),
        (net_revenue, GOOD, replace(SHOP, months={"May 2026": (1250.0, 4, True)})),
        (net_revenue, GOOD, replace(SHOP, months={"May 2026": (1250.0, 12, False)})),
        (percentages, replace(GOOD, titles=("Toys leads with 160 % of revenue",)), SHOP),
        (percentages, replace(GOOD, titles=("Returns take −3.0 % of gross sales",)), SHOP),
        (percentages, replace(GOOD, figures={"Return rate": "101.0 %"}), SHOP),
        (leaders, GOOD, replace(SHOP, categories=1)),
        (leaders, GOOD, replace(SHOP, orders={"sale": 9})),
        (leaders, replace(GOOD, titles=("A is the best seller with 100 % of revenue",)), replace(SHOP, products=1)),
        (leaders, replace(GOOD, titles=("Card makes 100 % of the amount paid",)), replace(SHOP, methods=1)),
        (what_is_absent, GOOD, replace(SHOP, returned=0.0)),
        (what_is_absent, GOOD, replace(SHOP, cancelled=0.0, orders={"sale": 60})),
        (what_is_absent, GOOD, replace(SHOP, costs=False)),
        (what_is_absent, GOOD, replace(SHOP, hours=False)),
        (what_is_absent, replace(GOOD, prose=("Segments of customers",)), replace(SHOP, customers=0)),
        (purchases, replace(GOOD, heading="Purchases worth 30.00 EUR in 1 session"), Known(purchase_amount=31.0)),
        (purchases, replace(GOOD, lede="1 of 2 sessions ended in a purchase"), Known(purchases=1, sessions=3)),
        (purchases, replace(GOOD, figures={"Value of purchases, EUR": "30.00"}), Known(purchase_amount=31.0)),
        (words, replace(GOOD, titles=("Same", "Same")), SHOP),
        (words, replace(GOOD, lede="nan EUR net"), SHOP),
        (words, replace(GOOD, lede="5,000 USD net"), SHOP),
    ],
)  # fmt: skip
def test_a_check_finds_a_page_that_is_wrong(check, page, shop):
    assert check(page, shop) != []


QUALITY = Page(
    heading="Good enough to publish: 96.8 of 100, grade A",
    badges=("Gate passed", "Score 96.8 · A", "No row lost"),
    figures={"Score": "96.8 · A", "In quarantine": "45"},
)


@pytest.mark.parametrize(
    "page",
    [
        replace(QUALITY, badges=("Gate refused", "Score 96.8 · A", "No row lost")),
        replace(QUALITY, badges=("Gate passed", "Score 96.7 · A", "No row lost")),
        replace(QUALITY, badges=("Gate passed", "Score 96.8 · A", "3 rows lost")),
        replace(QUALITY, figures={"Score": "95.0 · A", "In quarantine": "45"}),
        replace(QUALITY, figures={"Score": "96.8 · A", "In quarantine": "44"}),
    ],
)
def test_a_quality_page_that_contradicts_itself_is_found(page):
    assert the_gate(QUALITY, Known(quarantined=45)) == []
    assert the_gate(page, Known(quarantined=45)) != []


def test_a_page_is_read_as_it_is_seen():
    page = read_page(
        '<h1>May 2026</h1><p class="lede">Took <b>3</b>\N{NO-BREAK SPACE}orders.</p><p class="of">All</p>'
        '<div class="kpi"><p class="k">Orders</p><p class="v">3</p></div><h3>Title</h3>'
        '<svg aria-label="Bars."><text>9</text></svg><ul><li>One <b>thing</b></li></ul>'
        '<span class="badge good">Gate passed</span><pre>no sales</pre>'
    )
    assert page.heading == "May 2026" and page.lede == "Took 3 orders." and page.figures == {"Orders": "3"}
    assert (page.period, page.titles, page.badges) == ("All", ("Title",), ("Gate passed",))
    assert page.prose == ("Bars.", "One thing")
