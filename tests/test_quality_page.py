"""The quality page: verdict first, failures with what was done about them, and nothing where a shop has nothing."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import nbformat
import pandas as pd
import pytest

from lib.config import Gate
from lib.entities import ENTITIES
from lib.quality import charts, dispositions, tables
from lib.quality.audit import Audit
from lib.quality.failures import COLUMNS, failures
from lib.quality.page import Page as QualityPage
from lib.report import pages, pieces
from lib.report.insight import Insight, presenter
from tests.test_report import Page, check, code, notebook, shown, text

NBSP = "\N{NO-BREAK SPACE}"
CHECK_COLUMNS = ["check_name", "description", "dimension", "severity", "table_name", "column_name"]
CHECK_COLUMNS += ["failing_rows", "tested_rows", "score", "state", "rule", "field", "weight", "refuses", "finding"]


def audited(*checks, reasons=(), score=96.83) -> Audit:
    frame = pd.DataFrame(list(checks), columns=CHECK_COLUMNS)
    scores = frame.dropna(subset="score").groupby("dimension")["score"].mean().to_dict()
    tables = frame.dropna(subset="score").groupby("table_name")["score"].mean().to_dict()
    return Audit(frame, scores, score, "A", list(reasons), {}, tables)


def a_check(
    name, description="it holds.", *, found=0, of=1000, severity="warn", table="clean.orders", side="validity", field=""
):
    state = ("failed" if severity == "error" else "warned") if found else "passed"
    counts = (found, of, 100 * (1 - found / of), state)
    return (name, description, side, severity, table, "", *counts, name, field, 1.0, False, "")


PAYMENTS = a_check(
    "paid", "what was paid is the order's total", found=37, severity="error", field="paid", side="consistency"
)
SOURCES = a_check("source", "every order has a source", found=500)
AUDIT = audited(SOURCES, PAYMENTS, a_check("fine", table="clean.customers"))

ROWS = pd.DataFrame(
    {
        "source": ["web", "history"],
        "entity": ["orders", "orders"],
        "staged_rows": [600, 400],
        "exact_duplicates": [5, 0],
    }
    | {"clean_rows": [580, 390], "older_versions": [5, 0], "in_another_source": [0, 0], "restated_rows": [0, 0]}
    | {"quarantined_rows": [10, 10], "unaccounted_rows": [0, 0]}
)
DONE = pd.DataFrame(
    [
        ("unknown_customer", "quarantined", "web", "orders", 9, None, None, "customer 7 is unknown", None),
        ("unknown_customer", "quarantined", "history", "orders", 9, None, None, "x", None),
        ("whitespace", "repaired", "web", "customers", 8, "name", "3", " Meyer", "Meyer"),
        ("exact_duplicate", "merged", "web", "orders", 5, "", "1", None, None),
        ("invalid_email", "emptied", "web", "customers", 3, "email", "3", "x", None),
    ],
    columns=["rule", "outcome", "source", "entity", "found", "field", "key", "before", "after"],
)


def a_page(result: Audit = AUDIT, rows: pd.DataFrame = ROWS, done: pd.DataFrame = DONE, **others) -> QualityPage:
    """Return the page of hand-made findings, of a shop without warehouse and stage."""
    card, gate = (others.get(name) for name in ("card", "gate"))
    return QualityPage(result, rows, done, card, gate or Gate(), None, None)


class Small:
    """A warehouse of hand-made findings and an empty quarantine, as far as `dispositions` asks it."""

    def __init__(self, findings: pd.DataFrame) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("create schema quarantine; create schema quality")
        self.connection.register("given", findings)
        self.connection.execute("create table quality.record_findings as select * from given")
        for entity in ENTITIES:
            columns = "_rule varchar, _source varchar, _reason varchar"
            self.connection.execute(f"create table quarantine.{entity} ({columns})")

    def query(self, sql, parameters=()):
        return self.connection.execute(sql, list(parameters)).df()


FOUND = pd.DataFrame(
    [
        ("unknown_customer", "orders", "1", "1", "customer_id", "quarantined", "7", None),
        ("whitespace", "order_items", "1|1", "1", "name", "repaired", " Pen", "Pen"),
        ("wrong_sign", "order_items", "2|1", "2", "quantity", "repaired", "-2", "2"),
        ("exact_duplicate", "customers", "3", "3", "", "merged", None, None),
        ("price_outlier", "order_items", "4|1", "4", "unit_price", "flagged", "99", None),
    ],
    columns=["rule", "entity", "key", "family", "field", "outcome", "before", "after"],
).astype("string")


@pytest.fixture(scope="module")
def small() -> Small:
    longer = FOUND[FOUND["outcome"] == "repaired"].assign(key="9|9", before="   a longer text", after="a longer text")
    return Small(pd.concat([FOUND, longer.assign(family="9")], ignore_index=True).assign(source="web"))


def failing(rows: pd.DataFrame, done=lambda records: {}, checks=AUDIT) -> pieces.Html:
    return failures(checks, lambda name: rows if name == "paid" else pd.DataFrame(), done)


def marked(html: str) -> list[str]:
    return re.findall(r'<td class="[^"]*\bbad\b[^"]*">(.*?)</td>', html)


# The verdict


def test_the_heading_says_whether_the_data_may_be_published_and_where_the_rows_are():
    card = SimpleNamespace(summary={"recall": 0.99961, "precision": 0.994})
    said = a_page(card=card).headline()
    assert '<p class="finding">Good enough to publish: 96.8 of 100, grade A</p>' in said.html
    assert f"2{NBSP}checks of 3 found something, 1 of them an error." in said.html
    assert f"8{NBSP}cells were repaired, <b>20</b> of 1,000 rows wait in quarantine, none is lost." in said.html
    assert f"<b>99.9{NBSP}%</b>" in said.html, "what is not whole is not said to be 100 %"
    assert "Gate passed" in said.html


def test_a_refusal_names_its_first_reason_and_lists_all():
    refused = audited(
        PAYMENTS, reasons=["paid: what was paid is the order's total (37 of 1,000 rows)", "validity is 71"]
    )
    said = a_page(refused).headline().html
    assert "Not to be published: what was paid is the order&#39;s total (37 of 1,000 rows) (and 1" in said
    assert "Gate refused" in said
    listed = a_page(refused).reasons().html
    assert "validity is 71." in listed and "paid: " not in listed
    assert not a_page().reasons()


def test_a_long_reason_is_in_the_heading_as_far_as_it_says_what_is_wrong_and_whole_below():
    reason = (
        "3 of 7 order lines of erp could not be used (43 %; `quality.max_quarantined` allows 10 %): in 2 rows order_id"
    )
    refused = a_page(audited(PAYMENTS, reasons=[reason]))
    assert ">Not to be published: 3 of 7 order lines of erp could not be used</p>" in refused.headline().html
    assert "<code>quality.max_quarantined</code>" in refused.reasons().html


def test_checks_without_anything_to_look_at_are_not_said_to_pass():
    absent = replace(AUDIT, checks=AUDIT.checks.assign(state=["warned", "failed", "absent"]))
    assert f"2{NBSP}checks of 2 found something" in a_page(absent).headline().html
    passed = a_page(absent).figures(pd.DataFrame())[1]
    assert (passed.value, passed.note) == ("0", "of 2; 1 without rows to look at")
    assert "Not one row has been delivered yet." in a_page(absent, ROWS.iloc[:0]).headline().html


def test_a_lost_row_is_in_the_heading():
    none = ROWS.assign(quarantined_rows=0)
    assert "none of 1,000 rows waits in quarantine, none is lost." in a_page(rows=none).headline().html
    assert "None of 1,000 rows waits" in a_page(rows=none, done=DONE.iloc[:0]).headline().html
    said = a_page(rows=ROWS.assign(unaccounted_rows=[3, 0])).headline().html
    assert "<b>3 are unaccounted for</b>" in said
    assert f"3{NBSP}rows lost" in said


def test_the_score_is_shown_with_its_course_and_its_change():
    by_run = pd.DataFrame({"overall": [95.0, 96.0, 96.8]})
    score, *others = a_page().figures(by_run)
    assert (score.value, score.change, score.tone, list(score.spark)) == (
        "96.8 · A",
        f"+0.8{NBSP}pt",
        "good",
        [95, 96, 96.8],
    )
    assert [figure.value for figure in others] == ["1", "1,000", "8", "10", "20"]
    first = a_page().figures(pd.DataFrame())[0]
    assert (first.change, first.note) == ("", "")


# What failed


def test_failures_come_worst_first_each_with_a_sentence_and_its_count():
    html = failing(pd.DataFrame()).html
    assert html.index("What was paid is the order&#39;s total") < html.index("Every order has a source")
    assert f"not so in 37 of 1,000{NBSP}rows (3.7{NBSP}%) · consistency · error · clean.orders" in html
    assert (
        failing(pd.DataFrame(), checks=audited(a_check("fine"))).text
        == "Every check that has anything to look at passed."
    )


def test_the_failing_cell_is_marked_and_a_missing_one_is_called_none():
    rows = pd.DataFrame({"order_id": ["1", "2"], "total": [10.0, 20.0], "paid": [99.5, None], "_batch_id": ["b", "b"]})
    html = failing(rows).html
    assert marked(html) == ["99.50", "none"]
    assert "batch" not in html


def test_a_wide_row_keeps_its_keys_and_the_failing_cell():
    rows = pd.DataFrame({f"c{i}": ["x"] for i in range(20)} | {"order_id": ["1"], "paid": ["none at all"]})
    html = failing(rows).html
    assert marked(html) == ["none at all"]
    assert "order id" in html
    assert html.count("<th ") == COLUMNS


def test_of_many_columns_those_that_the_check_names_are_shown():
    rows = pd.DataFrame(
        {"order_id": ["1"], "customer_key": ["0a1b"]} | {f"c{i}": ["x"] for i in range(20)} | {"paid": [5]}
    )
    named = replace(AUDIT, failing_sql={"paid": "select * from orders where not (paid = c17)"})
    html = failing(rows, checks=named).html
    assert ">c17<" in html and ">c0<" in html and ">c16<" not in html
    assert "customer key" not in html


def test_five_failing_rows_are_shown_at_once_and_twenty_at_most():
    html = failing(pd.DataFrame({"order_id": [str(i) for i in range(30)], "paid": range(30)})).html
    at_once, more = html.split('<tbody class="more">')
    assert (at_once.count("<tr>") - 1, more.count("<tr>")) == (5, 15)
    assert "15 more rows" in more


def test_what_was_done_with_a_record_is_linked_to_its_rule(small):
    rows = pd.DataFrame({"order_id": ["1", "2", "3", "4"], "paid": [1, 2, 3, 4]})
    done = lambda records: dispositions.of_records(small, records, {"unknown_customer", "whitespace"})  # noqa: E731
    cells = re.findall(r"<tr>.*?<td[^>]*>([^<]*(?:<a.*?|repaired.*?|kept.*?))</td></tr>", failing(rows, done).html)
    first, second, third, fourth = cells
    assert first == f'in quarantine: <a href="#rule-unknown_customer">unknown customer</a> and 1{NBSP}more'
    assert second == 'repaired: wrong sign quantity <code class="was">-2</code> → <code class="was">2</code>'
    assert third == fourth == "kept as it is", (
        "a customer of that id is none of the order's, and a flag changes nothing"
    )
    untouched = pd.DataFrame({"order_id": ["8"], "paid": [1]})
    assert "what happened" not in failing(untouched, done).html


def test_a_row_that_waits_states_why_and_links_to_its_rule():
    reasons = ["customer 7 is unknown", "the same row stands in line 3", "total is missing"]
    rules = ["unknown_customer", "exact_duplicate", "missing"]
    rows = pd.DataFrame({"rule": rules, "reason": reasons, "order_id": ["1", "2", "3"], "customer_id": ["7", "8", "9"]})
    rows["total"] = [5.0, 6.0, None]
    html = failures(AUDIT, lambda _: rows, lambda records: {}, {"unknown_customer"}).html
    assert 'in quarantine: <a href="#rule-unknown_customer">customer 7 is unknown</a></td>' in html
    assert ">merged: exact duplicate</td>" in html
    assert ">in quarantine: total is missing</td>" in html
    assert marked(html)[:2] == ["7", "none"]
    assert ">reason<" not in html


def test_records_are_known_by_their_own_key_and_by_that_of_their_order():
    lines = pd.DataFrame({"order_id": ["1", None], "line_number": [1, 2]})
    assert dispositions.records_of("warehouse.fact_order_items", lines) == [("order_id", "1"), None]
    customers = pd.DataFrame({"customer_id": ["c"], "order_id": ["1"]})
    assert dispositions.records_of("clean.customers", customers) == [("customer_id", "c")]
    assert dispositions.records_of("analytics.daily_sales", pd.DataFrame({"day": ["x"]})) == [None]
    flags = pd.DataFrame({"entity": ["payments", "products"], "family": ["1", "p"]})
    assert dispositions.records_of("quality.flags", flags) == [("order_id", "1"), ("product_id", "p")]


# What was done


def test_every_rule_is_explained_once_with_a_count_and_an_example():
    html = dispositions.tables(DONE).html
    ids = re.findall(r'<tr id="rule-(\w+)">', html)
    assert sorted(ids) == sorted(set(DONE["rule"]))
    assert f"In quarantine: 18{NBSP}rows" in html and "orders of web (9) and orders of history (9)" in html
    assert f"Repaired or left empty: 11{NBSP}cells" in html
    assert 'customers, name <code class="was">·Meyer</code> → <code class="was">Meyer</code>' in html
    assert 'customers, email <code class="was">x</code> → left empty' in html
    assert not dispositions.tables(DONE.iloc[:0])


def test_the_example_of_a_rule_is_its_shortest_repair(small):
    done = dispositions.read_outcomes(small).set_index(["rule", "outcome"])
    examples = done.loc[[("whitespace", "repaired"), ("wrong_sign", "repaired")], ["found", "before"]]
    assert examples.values.tolist() == [[2, " Pen"], [2, "-2"]]
    assert done.loc[("exact_duplicate", "merged"), "found"] == 1 and "flagged" not in done.index.get_level_values(1)


def test_the_hash_in_a_key_is_cut_short():
    assert dispositions.short_key("536409|553493f1379e742646cfd694843add6c") == "536409|553493f1…"
    assert dispositions.short_key("H-00000027|1") == "H-00000027|1"


# Scores


def test_scores_stand_by_dimension_beside_the_gate_and_by_table_worst_first():
    gate = Gate(min_score=97, min_dimension={"validity": 80, "timeliness": 60})
    bars = a_page(gate=gate).scores().html
    assert re.findall(r'<div class="dim"><span>(\w+)<', bars) == ["validity", "consistency", "overall"]
    assert re.findall(r'<b class="bad">(.*?)</b>', bars) == ["75.0", "96.8"]
    assert "at least 80" in bars and "at least 97" in bars
    grid = tables.by_table(AUDIT).html
    assert '<th scope="row">clean.orders</th>' in grid
    assert f"<b>1{NBSP}table</b> without a fault" in grid and "<code>clean.customers</code>" in grid


def test_all_checks_are_there_behind_one_line():
    found = Page(tables.checks(AUDIT).html)
    assert len(found.all("details")) == 1
    assert len(found.all("tr")) == 1 + len(AUDIT.checks)


# Charts


def days(unusual: dict[str, tuple[float, float]], source="web", entity="events", size=400) -> pd.DataFrame:
    day = pd.date_range("2025-01-01", periods=size, freq="D")
    frame = pd.DataFrame({"source": source, "entity": entity, "day": day, "rows": 100.0, "expected": 100.0})
    frame = frame.assign(low=80.0, high=120.0, z=0.0, is_unusual=False)
    for when, (rows, z) in unusual.items():
        frame.loc[frame["day"] == when, ["rows", "z", "is_unusual"]] = [rows, z, True]
    return frame


@pytest.mark.parametrize(
    ("unusual", "title"),
    [
        ({}, "No day stands out among the events of web"),
        ({"2025-11-03": (50, -9)}, f"50{NBSP}% of the events of web were missing on 3 Nov 2025"),
        ({"2025-11-03": (0, -9)}, "None of the events of web came on 3 Nov 2025"),
        (
            {"2025-11-03": (50, -9), "2025-11-09": (200, 12)},
            f"On 9 Nov 2025 there were 2.0 times the usual events of web, and 1{NBSP}other day stands out",
        ),
        ({"2025-11-03": (150, 9)}, f"On 3 Nov 2025 there were 50{NBSP}% more events of web than usual"),
    ],
)
def test_a_chart_of_daily_volume_says_what_stands_out(unusual, title):
    (chart,) = charts.daily_volumes(days(unusual))
    assert chart.title == title
    assert set(unusual) <= {str(day.date()) for day in chart.data["day"]}
    assert len(chart.data) <= charts.WINDOW


def test_series_with_unusual_days_are_drawn_or_else_the_largest():
    odd, large = days({"2025-11-03": (50, -9)}), days({}, source="shop").assign(rows=1e6)
    assert [c.name for c in charts.daily_volumes(pd.concat([odd, large]))] == ["volume_web_events"]
    quiet = pd.concat([odd.assign(is_unusual=False), large])
    assert [c.name for c in charts.daily_volumes(quiet)] == ["volume_shop_events"]
    assert charts.daily_volumes(odd.iloc[:0]) == []


def test_days_that_are_not_judged_leave_a_gap_in_the_band():
    thin = days({"2025-11-03": (50, -9)}, size=320)
    thin.loc[:300, ["expected", "low", "high", "z"]] = None
    (chart,) = charts.daily_volumes(thin)
    assert "stands out" not in chart.title


def test_the_trend_needs_two_runs():
    scores = [("20260101T000000Z", 95.0, 94.0), ("20260102T000000Z", 96.0, 98.0)]
    history = pd.DataFrame(
        [(run, *pair) for run, overall, validity in scores for pair in (("overall", overall), ("validity", validity))],
        columns=["run_id", "dimension", "score"],
    )
    trend = charts.trend(history, 90)
    assert isinstance(trend, Insight)
    assert trend.title == "The score rose from 95.0 to 96.0 since the last run, most of it in validity"
    once = charts.trend(history.head(2))
    assert not isinstance(once, Insight) and not presenter(None)(once, "").html


def steps(*values: tuple[str, float, float, bool], measure="rows") -> pd.DataFrame:
    frame = pd.DataFrame(list(values), columns=["step", measure, "change", "is_total"])
    return frame.assign(description="")


def test_the_way_of_the_rows_names_the_largest_loss():
    way = charts.way_of_rows(
        steps(
            ("Delivered", 100, 0, True),
            ("Merged", 95, -5, False),
            ("In quarantine", 93, -2, False),
            ("Facts", 93, 0, True),
        )
    )
    assert way.title == f"Of 100{NBSP}order lines delivered, 93 reach the facts; most of the others: merged"
    assert way.alt.startswith("Bars from step to step: Delivered 100, Merged −5")
    whole = charts.way_of_rows(steps(("Delivered", 100, 0, True), ("Merged", 100, 0, False), ("Facts", 100, 0, True)))
    assert whole.title == f"All 100{NBSP}order lines delivered reach the facts"


def test_a_sum_that_differs_from_the_level_before_is_the_title():
    right = steps(("Gross", 10, 0, True), ("Returns", 8, -2, False), ("Net", 8, 0, True), measure="amount")
    assert charts.way_of_amounts(right, "EUR").title == f"Net revenue is the same on every level: 8{NBSP}EUR"
    wrong = steps(("Gross", 10, 0, True), ("Net", 8, -2, True), measure="amount")
    assert charts.way_of_amounts(wrong, "EUR").title == "Net differs by −2.00 from the level before"


# Tables


def test_a_source_that_stopped_is_named_and_marked_and_one_fresh_source_is_a_remark():
    columns = ["source", "last_day", "gap_days", "usual_gap_days", "allowed_days", "state"]
    day = pd.Timestamp("2025-12-20").date()
    sources = pd.DataFrame([("web", day, 0, 1, 2, "fresh"), ("market", day, 11, 1, 2, "stale")], columns=columns)
    html = tables.late_sources(sources).html
    assert "market has stopped delivering" in html
    assert marked(html) == ["11", "stale"]
    assert not tables.late_sources(sources.head(1))
    assert not tables.late_sources(sources.iloc[:0])


def test_a_share_that_moved_is_shown_before_and_then():
    columns = ["measure", "month", "value", "share", "share_before", "psi", "is_shifted"]
    rows = [
        ("method", "2025-03-01", "card", 0.5, 0.7, 0.3, True),
        ("method", "2025-03-01", "cash", 0.1, 0.05, 0.3, True),
    ]
    rows += [("device", "2025-03-01", "phone", 0.5, 0.5, 0.0, False)]
    html = tables.moved_shares(pd.DataFrame(rows, columns=columns)).html
    assert "card" in html and f"70{NBSP}%" in html
    assert "cash" not in html and "phone" not in html
    assert not tables.moved_shares(pd.DataFrame(rows[2:], columns=columns))


def test_a_total_that_differs_from_the_sources_own_comes_first():
    columns = ["source", "entity", "measure", "reported", "gone", "held", "difference", "reported_by"]
    rows = [
        ("a", "orders", "rows", 9.0, 0.0, 9.0, 0.0, "a"),
        ("b", "orders", "rows", 9.0, 0.0, 7.0, -2.0, "b"),
    ]
    html = tables.against_sources(pd.DataFrame(rows, columns=columns)).html
    assert f"1{NBSP}total differs from what the source itself reports" in html
    assert marked(html) == ["−2"]
    assert html.index(">b<") < html.index(">a<")
    assert "Every total is" in tables.against_sources(pd.DataFrame(rows[:1], columns=columns)).html
    assert not tables.against_sources(pd.DataFrame(columns=columns))


def test_rows_are_listed_by_source_without_what_never_happened():
    html = tables.rows_by_source(ROWS).html
    assert "Where every row went: none is lost" in html
    assert "exact duplicates" in html and "in another source" not in html and "unaccounted" not in html
    assert marked(tables.rows_by_source(ROWS.assign(unaccounted_rows=[0, 2])).html) == ["2"]


KINDS = pd.DataFrame(
    [
        ("whitespace", "repairable", "blanks", 100, 99, 0.99, 99, 99, 1.0, 99, 90, 90 / 99),
        ("orphan", "rejectable", "nowhere", 50, 50, 1.0, 50, 50, 1.0, 0, 0, None),
        ("ambiguous_date", "debatable", "two ways", 10, 2, 0.2, 2, 2, 1.0, 0, 0, None),
        ("zeroed", "repairable", "zero", 0, 0, None, 0, 0, None, 0, 0, None),
    ],
    columns=[
        *("kind", "label", "description", "planted", "found", "recall", "flagged", "right", "precision"),
        *("repaired", "repaired_right", "accuracy"),
    ],
)


def test_how_good_the_checks_are_is_one_sentence_and_a_table_by_kind():
    summary = {"planted": 2140, "recall": 0.9962, "precision": 0.9945, "repair_accuracy": 0.9985}
    said = tables.how_good(summary).html
    assert said == (
        f'<p class="note">Against the ledger of 2,140{NBSP}planted defects they found <b>99.6{NBSP}%</b>, and'
        f" <b>99.4{NBSP}%</b> of what they flagged was planted; <b>99.8{NBSP}%</b> of repaired cells equal the value"
        " before.</p>"
    )
    html = tables.by_kind(KINDS).html
    assert html.index("whitespace") < html.index("orphan") < html.index("Debatable") < html.index("ambiguous date")
    assert "zeroed" not in html
    assert marked(html) == [f"90.9{NBSP}%"], "what is below 95 % is marked, but not where it is debatable"


def test_where_nothing_is_planted_nothing_is_said():
    assert not tables.how_good({"planted": 0, "recall": None})
    assert not tables.by_kind(KINDS.tail(1))
    assert not tables.examples("Missed", pd.DataFrame())


# The page


def test_the_page_links_failing_rows_to_rules_and_leaves_out_empty_sections(tmp_path: Path, small):
    rows = pd.DataFrame({"order_id": ["1", "2"], "paid": [1, 2]})
    done = lambda records: dispositions.of_records(small, records, set(DONE["rule"]))  # noqa: E731
    cells = [
        text("# Q?"),
        code(shown(a_page().headline())),
        code(shown(failing(rows, done))),
        text("## What was done about it"),
        code(shown(dispositions.tables(DONE))),
        text("## Run by run"),
        code(shown(pieces.NOTHING)),
    ]
    html = pages.notebook_page(notebook(tmp_path, *cells), run={}, stage_name="05_quality")
    found = check(html)
    assert "#rule-unknown_customer" in {link["href"] for link in found.all("a")}
    assert '<a href="#what-was-done-about-it">' in html
    assert "Run by run" not in html


def test_the_page_of_a_run_that_overrode_the_gate_says_so(tmp_path: Path):
    path = notebook(tmp_path, nbformat.v4.new_markdown_cell("# Q?"))
    gate = {"passed": False, "reasons": ["x"], "overridden": True}
    assert "--no-gate" in pages.notebook_page(path, run={"quality": {"gate": gate}}, stage_name="05_quality")
    gate = gate | {"overridden": False}
    assert "--no-gate" not in pages.notebook_page(path, run={"quality": {"gate": gate}}, stage_name="05_quality")
