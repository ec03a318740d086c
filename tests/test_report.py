"""Pieces and pages: everything escaped, nothing from the network, and every field may be missing."""

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lib.base import formatting
from lib.report import pages, pieces, plots
from lib.report.insight import Insight, save_chart
from lib.report.pieces import Action, Kpi

EVIL = "<script>alert(1)</script>\"'&"
NBSP = "\N{NO-BREAK SPACE}"

RUN = {
    "run_id": "20260131T020000Z",
    "state": "published",
    "started_at": "2026-01-31T02:00:00+00:00",
    "seconds": 48.2,
    "shop": {"name": "Demo shop", "currency": "EUR"},
    "new_rows": 18903,
    "quality": {
        "score": 96.8,
        "grade": "A",
        "dimensions": {"Validity": 97.8},
        "gate": {"passed": True, "reasons": []},
    },
    "kpis": {"net_amount": 214600.0, "orders": 4382},
    "stages": [
        {
            "name": "02_ingest",
            "title": "Ingest",
            "state": "ok",
            "seconds": 12.3,
            "rows_in": 18903,
            "rows_out": 18903,
            "facts": {"batches": 14},
            "error": None,
            "notebook": "notebooks/02_ingest.ipynb",
            "report": "reports/02_ingest.html",
            "log": "logs/02_ingest.log",
        },
    ],
    "charts": [{"name": "x", "title": "Found", "alt": "Bars of x", "svg": "charts/x.svg", "png": "charts/x.png"}],
    "git": {"revision": "abcdef1234567", "dirty": False},
    "packages": {"duckdb": "2.0.0"},
    "parameters": {"06_insights": {"top_n": 10}},
}


class Page(HTMLParser):
    """Collects what the tests ask about; fails on a tag that is closed in the wrong order."""

    VOID = ("meta", "img", "br", "link", "hr", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def check(html: str, scripts: int = 0) -> Page:
    """Assert what holds for every page of ours; the list of runs alone has a script, its own."""
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert page.all("script") == [{}] * scripts
    assert page.all("link") == []
    assert len(page.all("h1")) == 1
    for tag, attrs in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert not re.match(r"(https?:)?//", attrs.get(name) or ""), (tag, attrs)
    assert "url(http" not in html
    assert "@import" not in html
    assert all("alt" in image for image in page.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert all(head.get("scope") for head in page.all("th"))
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        if (link["href"] or "").startswith("#"):
            assert link["href"][1:] in ids
    return page


def notebook(tmp_path: Path, *cells, name: str = "02_ingest") -> Path:
    path = tmp_path / f"{name}.ipynb"
    book = nbformat.v4.new_notebook(cells=list(cells))
    nbformat.write(book, path)
    return path


def code(*outputs, tags=(), source="x = secret_code()"):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shown(piece):
    data, metadata = piece._repr_mimebundle_()
    return nbformat.v4.new_output("execute_result", data, metadata=metadata)


def text(source):
    return nbformat.v4.new_markdown_cell(source)


# Pieces


@pytest.mark.parametrize(
    "piece",
    [
        pieces.kpis([Kpi(EVIL, EVIL, EVIL, "good", (), EVIL)]),
        pieces.table(pd.DataFrame({EVIL: [EVIL]}), EVIL, EVIL, mark=[(0, EVIL)]),
        pieces.note(EVIL),
        pieces.verdict(EVIL, "bad"),
        pieces.actions([Action(EVIL, EVIL)]),
        pieces.badges([EVIL, (EVIL, "good")]),
        pieces.score_bars({EVIL: 50}),
        pieces.headline(EVIL, EVIL, [EVIL]),
        pieces.remarks([EVIL]),
        pieces.fold(EVIL, pieces.note(EVIL)),
    ],
)
def test_a_piece_escapes_data_and_has_a_plain_representation(piece) -> None:
    Page(piece.html)
    assert "<script" not in piece._repr_mimebundle_()[0]["text/html"]
    assert "&lt;script&gt;" in piece.html
    assert " at 0x" not in repr(piece)


def test_a_table_aligns_numbers_separates_thousands_and_counts_its_rows() -> None:
    frame = pd.DataFrame({"name": ["a"] * 60, "net_amount": [Decimal("1234.50")] * 60, "orders": [4321] * 60})
    html = pieces.table(frame, "Products", limit=3).html
    assert '<td class="r">1,234.50</td><td class="r">4,321</td>' in html
    assert html.count("<td>a</td>") == 3
    assert f"3 of 60{NBSP}rows" in html
    assert '<th scope="col" class="r">net amount</th>' in html


def test_a_table_marks_the_failing_cell_and_only_that() -> None:
    html = pieces.table(pd.DataFrame({"total": [1, 2], "paid": [1, 9]}), mark={(1, "paid")}).html
    assert re.findall(r'<td class="r bad">(.*?)</td>', html) == ["9"]


def test_a_table_formats_ids_years_dates_gaps_and_chosen_columns() -> None:
    frame = pd.DataFrame(
        {
            "order_id": [123456],
            "year": [2026],
            "day": [pd.Timestamp("2026-01-31")],
            "gone": [None],
            "rate": [0.125],
            "share": [0.5],
            "ok": [True],
        }
    )
    html = pieces.table(frame, formats={"rate": ".1%", "share": formatting.percent}).html
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells == ["123456", "2026", "31 Jan 2026", "–", "12.5%", f"50{NBSP}%", "yes"]


def test_an_empty_table_says_so() -> None:
    assert f"0{NBSP}rows" in pieces.table(pd.DataFrame({"a": []}), "None").html


def test_a_score_below_the_threshold_is_marked_and_a_missing_one_is_a_dash() -> None:
    html = pieces.score_bars({"Validity": 99.0, "Timeliness": 80.0, "Accuracy": None}, 90).html
    assert re.findall(r'<b class="bad">(.*?)</b>', html) == ["80.0"]
    assert "<b>–</b>" in html
    assert "width:80.0%" in html
    html = pieces.score_bars({"Validity": 80.0, "Timeliness": 80.0}, {"Validity": 90}).html
    assert html.count("at least 90") == html.count('class="bad"') == 1


def test_a_grid_tints_a_score_the_more_the_lower_it_is() -> None:
    scores = pd.DataFrame({"validity": [100.0, 99.0], "all": [100.0, 50.0]}, index=["a", EVIL])
    html = pieces.score_grid(scores.assign(gone=[None, 1.0]), "Tables").html
    tints = [int(tint) for tint in re.findall(r"--tint:(\d+)%", html)]
    assert len(tints) == 3 and tints[0] < tints[1]
    assert '<td class="r"></td>' in html
    assert "<script" not in html


def test_rows_that_are_folded_away_are_in_the_same_table() -> None:
    html = pieces.table(pd.DataFrame({"a": ["x"] * 9}), fold=5).html
    page = Page(html)
    assert (len(page.all("table")), len(page.all("tbody")), len(page.all("tr"))) == (1, 2, 10)
    assert "4 more rows" in html
    assert "more row" not in pieces.table(pd.DataFrame({"a": ["x"] * 7}), fold=5).html, "two rows are not worth it"


def test_a_cell_may_link_to_a_row_of_another_table() -> None:
    link = pieces.link("rule-a", EVIL, "repaired: ")
    html = pieces.table(pd.DataFrame({"done": [link, None]})).html
    assert '<td class="long">repaired: <a href="#rule-a">&lt;script&gt;' in html
    assert '<tr id="rule-a"><td>x' in pieces.table(pd.DataFrame({"a": ["x"]}), anchors={0: "rule-a"}).html


def test_a_fold_without_anything_in_it_is_left_out() -> None:
    assert not pieces.fold("Line", pieces.NOTHING, None)
    assert not pieces.joined(pieces.NOTHING, None)


def test_bold_and_code_are_understood_after_escaping() -> None:
    assert pieces.rich("**5 < 6** of `a&b`") == "<b>5 &lt; 6</b> of <code>a&amp;b</code>"


def test_a_sparkline_skips_gaps_and_needs_two_values() -> None:
    assert pieces.spark([1.0]) == ""
    assert pieces.spark([1.0, float("nan"), 3.0]).count(",") > 2
    assert "2.0,24.0 116.0,4.0" in pieces.spark([1.0, float("nan"), 3.0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (950, "950"),
        (9999, "9,999"),
        (12345, f"12.3{NBSP}k"),
        (999_999, f"1.00{NBSP}M"),
        (Decimal("-2500000"), f"−2.50{NBSP}M"),
        (12.5, "12.50"),
    ],
)
def test_long_amounts_are_shortened(value, text) -> None:
    assert formatting.compact(value) == text


def test_words_agree_with_their_numbers() -> None:
    assert formatting.count(1, "order") == f"1{NBSP}order"
    assert formatting.count(1200, "order") == f"1,200{NBSP}orders"
    assert formatting.listing(["a", "b", "c"]) == "a, b and c"
    assert formatting.signed(-0.04) == f"0.0{NBSP}%"
    assert formatting.signed(6.12) == f"+6.1{NBSP}%"
    assert formatting.percent(0.034) == f"3.4{NBSP}%"
    assert formatting.percent(0.34) == f"34{NBSP}%"
    assert formatting.small(0.0002) == f"<{NBSP}0.1{NBSP}%"
    assert (formatting.points(99.99), formatting.points(96.8), formatting.points(100), formatting.points(None)) == (
        "99.9",
        "96.8",
        "100.0",
        "–",
    )
    assert formatting.rate(0.99961) == f"99.9{NBSP}%"
    assert formatting.duration(185) == f"3{NBSP}min{NBSP}05{NBSP}s"
    assert formatting.when("2026-01-31T03:00:00+01:00") == "31 Jan 2026, 02:00 UTC"


# Notebook pages


def test_a_notebook_page_shows_prose_and_outputs_and_no_code_or_logs(tmp_path: Path) -> None:
    chart = save_chart(
        Insight("bars", "Found", "s", "Bars of a and b", plots.hbars(["a", "b"], [2, 1]), pd.DataFrame())
    )
    path = notebook(
        tmp_path,
        text("# What came in?\n\n**In:** files. **Out:** batches."),
        code(tags=["parameters"]),
        text("## Batches\n\nEach is new."),
        code(nbformat.v4.new_output("stream", text="a stray print"), shown(pieces.note("Three batches."))),
        text("## Charts"),
        code(shown(chart)),
        code(shown(pieces.note("not for managers")), tags=["hide-report"]),
    )
    html = pages.notebook_page(path, run=RUN, stage_name="02_ingest")
    page = check(html)
    assert "secret_code" not in html
    assert "a stray print" not in html
    assert "not for managers" not in html
    assert "<h1>What came in?</h1>" in html
    assert "Three batches." in html
    assert '<a href="#batches">Batches</a>' in html
    assert any(svg.get("aria-label") == "Bars of a and b" for svg in page.all("svg"))
    assert "Demo shop" in html
    assert html.count("<style>") == 1, "a page has the styles of its pieces once"
    assert {"../notebooks/02_ingest.ipynb", "../index.html", "../../../index.html"} <= {
        a["href"] for a in page.all("a")
    }


def test_a_computed_headline_becomes_the_heading_of_the_page(tmp_path: Path) -> None:
    path = notebook(
        tmp_path, text("# The question?\n\nIn, out."), code(shown(pieces.headline("It grew", "By **6** %.")))
    )
    html = pages.notebook_page(path, run=RUN, stage_name="06_insights")
    check(html)
    assert "<h1>It grew</h1>" in html
    assert '<p class="lede">By <b>6</b> %.</p>' in html
    assert html.count("It grew") == 2  # the heading and the title of the window


def test_a_failed_cell_is_a_short_box_without_trace(tmp_path: Path) -> None:
    error = nbformat.v4.new_output(
        "error",
        ename="LakeError",
        evalue="part <0> is \x1b[31mdamaged\x1b[0m",
        traceback=["File /secret/path.py"],
    )
    html = pages.notebook_page(notebook(tmp_path, text("# Title"), code(error)), run=RUN, stage_name="02_ingest")
    check(html)
    assert "LakeError" in html
    assert "part &lt;0&gt; is damaged" in html
    assert "\x1b" not in html
    assert "/secret/path.py" not in html


def test_pictures_keep_alternative_text_and_scripts_and_objects_stay_out(tmp_path: Path) -> None:
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": "iVBORw0KGgo="}, metadata={"image/png": {"alt": "A map"}}
    )
    widget = nbformat.v4.new_output("display_data", {"text/html": "<script>x</script>", "text/plain": "a widget"})
    thing = nbformat.v4.new_output("execute_result", {"text/plain": "<lib.Thing object at 0x7f00>"})
    html = pages.notebook_page(notebook(tmp_path, text("# T"), code(picture, widget, thing)), run=RUN, stage_name="s")
    assert check(html).all("img")[0]["alt"] == "A map"
    assert "0x7f00" not in html


def test_a_notebook_page_renders_without_heading_and_without_run(tmp_path: Path) -> None:
    html = pages.notebook_page(notebook(tmp_path, code()), run={}, stage_name="")
    check(html)
    assert "<h1>02_ingest</h1>" in html


def test_a_section_whose_cells_show_nothing_is_left_out_with_its_link(tmp_path: Path) -> None:
    cells = [text("## Empty\n\nHow much?"), code(shown(pieces.NOTHING)), text("More of it."), code()]
    path = notebook(
        tmp_path, text("# T"), *cells, text("## Prose alone"), text("## Full"), code(shown(pieces.note("x")))
    )
    html = pages.notebook_page(path, run=RUN, stage_name="s")
    assert re.findall(r'<h2 id="(.*?)">', html) == ["prose-alone", "full"]
    assert "#empty" not in html and "How much?" not in html and "More of it." not in html


def test_prose_about_what_a_shop_does_not_have_is_left_out_of_the_page(tmp_path: Path) -> None:
    prose = (
        '## Sales\n\nWhat is sold?\n<span data-has="returns costs">Returns cost.</span>\n'
        '<span data-has="costs no-returns">Costs alone.</span>\nThe end.'
    )

    def page(*there: str) -> str:
        cells = [code(shown(pieces.there_is(set(there))))] if there else []
        path = notebook(tmp_path, text("# T"), *cells, text(prose), code(shown(pieces.note("x"))))
        html = pages.notebook_page(path, run=RUN, stage_name="s")
        check(html)
        return html

    assert "Returns cost." in page("returns", "costs") and "Costs alone." not in page("returns", "costs")
    alone = page("costs")
    assert "Costs alone." in alone and "Returns cost." not in alone
    assert "<p>What is sold?\nThe end.</p>" in page("orders"), "what is left is one paragraph"
    assert "Returns cost." in page() and "data-has" not in page(), "a notebook that says nothing keeps all"


def test_key_figures_say_what_they_are_about() -> None:
    html = pieces.kpis([Kpi("Orders", "3")], "May 2026 <b>").html
    Page(html)
    assert '<p class="of">May 2026 &lt;b&gt;</p>' in html
    assert 'class="of"' not in pieces.kpis([Kpi("Orders", "3")]).html


def test_repeated_section_names_have_links_of_their_own(tmp_path: Path) -> None:
    path = notebook(tmp_path, text("# T"), text("## Same"), text("## Same"))
    check(pages.notebook_page(path, run=RUN, stage_name="s"))


# The page of a run and the list of runs


def test_the_page_of_a_run_says_how_it_ended_and_links_its_parts() -> None:
    html = pages.run_page(RUN)
    page = check(html)
    assert "<h1>Published with a quality score of 96.8</h1>" in html
    assert f"48{NBSP}s" in html
    assert f"214.6{NBSP}k" in html
    assert "batches 14" in html
    links = {link["href"] for link in page.all("a")}
    assert {
        "reports/02_ingest.html",
        "notebooks/02_ingest.ipynb",
        "charts/x.svg",
        "../../index.html",
    } <= links
    assert page.all("img") == [{"src": "charts/x.svg", "alt": "Bars of x", "loading": "lazy"}]


def test_the_page_of_a_run_says_how_good_the_checks_were_where_there_is_a_ledger() -> None:
    ledger = {"planted": 2140, "recall": 0.9999, "precision": 0.994, "repair_accuracy": None}
    html = pages.run_page(RUN | {"quality": RUN["quality"] | {"ledger": ledger}})
    check(html)
    assert f"2,140 planted defects the checks found <b>99.9{NBSP}%</b>" in html
    assert "repaired cells" not in html
    assert "planted" not in pages.run_page(RUN)


def test_a_failed_run_shows_the_message_of_the_stage() -> None:
    stage = {
        "name": "03_clean",
        "title": "Clean",
        "state": "failed",
        "error": {"type": "LakeError", "message": EVIL, "cell": 4},
    }
    html = pages.run_page(RUN | {"state": "failed", "stages": [stage], "quality": None, "kpis": None})
    check(html)
    assert "<h1>Failed in 03_clean</h1>" in html
    assert "Clean, cell 4: LakeError" in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("field", sorted(RUN))
@pytest.mark.parametrize("gone", [True, False])
def test_pages_render_with_any_field_missing_or_null(field: str, gone: bool) -> None:
    run = json.loads(json.dumps(RUN))
    if gone:
        del run[field]
    else:
        run[field] = None
    check(pages.run_page(run))
    check(pages.runs_page([run, {}]), scripts=1)


def test_pages_render_with_every_field_of_a_stage_null() -> None:
    stage = dict.fromkeys(RUN["stages"][0])
    check(pages.run_page(RUN | {"stages": [stage], "charts": [{}]}))


@pytest.mark.parametrize("state", ["running", "published", "not_published", "refused", "failed", "killed", "odd"])
def test_every_state_has_a_sentence(state: str) -> None:
    assert len(pages.run_title({"state": state})) > 3
    check(pages.run_page({"state": state}))


def test_the_list_of_runs_has_the_newest_first_and_a_trend() -> None:
    older = RUN | {"run_id": "20260130T020000Z", "quality": {"score": 90.0}}
    html = pages.runs_page([older, RUN])
    page = check(html, scripts=1)
    assert html.index('runs/20260131T020000Z/index.html"><code>') < html.index(
        'runs/20260130T020000Z/index.html"><code>'
    )
    assert len(page.all("polyline")) == 2


def test_the_list_of_runs_without_a_run_says_what_to_do() -> None:
    html = pages.runs_page([])
    check(html)
    assert "No run yet." in html
    assert "run_pipeline.py" in html
