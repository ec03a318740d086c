"""Charts: safe with any data, one picture for every scheme, saved with their words."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lib.report import plots
from lib.report.charts import ACCENT, BAD, ROLES, SOFT, plain, shorten
from lib.report.insight import Chart, Insight, save_chart

HOSTILE = [
    "<script>alert('x')</script>",
    'Say "hi" & <b>bold</b>',
    "$5 off $10_{x} \\frac{1}{2}",
    "シルクのスカーフ",
    "شال حرير",
    "nul\x00 bell\x07 \u202eturned \ud800",
    "#0b6e99 var(--accent)",
    "long " * 60,
]
MONTHS = pd.date_range("2024-01-01", periods=18, freq="MS")


def saved(figure: Figure, folder: Path | None = None, **words: str) -> Chart:
    given = {"name": "a chart", "title": "Finding", "subtitle": "Measure, EUR", "alt": "A chart of something"} | words
    return save_chart(Insight(**given, figure=figure, data=pd.DataFrame({"x": [1]})), "select 1", folder)


def every_plot(labels: list[str], values: list[float]) -> list[Figure]:
    months = pd.date_range("2010-01-01", periods=len(values), freq="MS")
    days = pd.date_range("2010-01-01", periods=len(values), freq="D")
    return [
        plots.band_by_day(days, values, [None] * len(values), [9.0] * len(values), [value == 6 for value in values]),
        plots.lines_by_run(labels, ("overall", values), {"validity": values[::-1]}, 90.0),
        plots.line_by_month(months, values),
        plots.hbars(labels, values),
        plots.stacked(labels, {"new": values, "returning": values}),
        plots.waterfall([(label, value, "change") for label, value in zip(labels, values, strict=True)][:6]),
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_a_well_formed_picture(name: str) -> None:
    chart = saved(plots.hbars([name, "other"], [2.0, 1.0]), title=name, subtitle=name, alt=name)
    picture = ElementTree.fromstring(chart.svg)
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert shorten(name) in texts
    assert picture.get("aria-label") == plain(name)
    assert "<script" not in chart.html
    assert "<b>bold" not in chart.html


@pytest.mark.parametrize("rows", [0, 1, 2, 400])
def test_every_plot_draws_with_none_one_two_and_four_hundred_rows(rows: int) -> None:
    values = [float(i % 7) for i in range(rows)]
    for figure in every_plot([f"row {i}" for i in range(rows)], values):
        ElementTree.fromstring(saved(figure).svg)


def test_missing_and_negative_values_are_drawn_and_labelled() -> None:
    chart = saved(plots.hbars(["a", "b", "c"], [5.0, np.nan, -3.0]))
    assert "no value" in chart.svg
    assert "−3" in chart.svg
    for figure in every_plot(["a", "b", "c"], [1.0, np.nan, -2.0]):
        ElementTree.fromstring(saved(figure).svg)
    assert "no data" in saved(plots.line_by_month(MONTHS[:2], [np.nan, np.nan])).svg


def test_unusual_days_are_marked_and_named_where_there_is_room() -> None:
    days, values = pd.date_range("2025-11-01", periods=60, freq="D"), [100.0] * 60
    values[2], values[3], values[40] = 10.0, 20.0, 300.0
    figure = plots.band_by_day(days, values, [80] * 60, [120] * 60, [value != 100 for value in values])
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["11 Dec: 300", "3 Nov: 10"]
    (points,) = [line for line in figure.axes[0].lines if line.get_color() == BAD]
    assert len(points.get_xdata()) == 3


def test_the_names_of_lines_by_run_stay_beside_their_ends_and_apart() -> None:
    ends = {"a": 100.0, "b": 100.0, "c": 99.9, "d": 87.3, "e": 87.0}
    figure = plots.lines_by_run(["1", "2"], ("all", [100, 94.8]), {name: [100, end] for name, end in ends.items()})
    places = {text.get_text().split()[0]: text.xy[1] for text in figure.axes[0].texts}
    low, high = figure.axes[0].get_ylim()
    heights = sorted(places.values())
    assert min(upper - lower for lower, upper in pairwise(heights)) >= 0.089 * (high - low)
    assert heights[-1] <= high
    assert all(abs(places[name] - end) < 0.2 * (high - low) for name, end in {**ends, "all": 94.8}.items())


def test_a_total_that_does_not_follow_from_its_steps_stands_out() -> None:
    steps = [("read", 10.0, "total"), ("merged", -3.0, "change"), ("clean", 8.0, "wrong")]
    axes = plots.waterfall(steps).axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 10), (10, -3), (0, 8)]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [ACCENT, SOFT, BAD]
    assert [text.get_text() for text in axes.texts] == ["10", "−3", "8"]


def test_a_total_below_zero_is_seen() -> None:
    steps = [("Net", 10.0, "total"), ("Cost", -12.0, "change"), ("Margin", -2.0, "total")]
    axes = plots.waterfall(steps).axes[0]
    assert axes.get_xlim()[0] < -2 and axes.get_xlim()[1] == 10
    assert plots.waterfall([("Margin", -2.0, "total")]).axes[0].get_xlim() == (-2.04, 0)


def test_bars_start_at_zero_and_are_as_long_as_their_values() -> None:
    axes = plots.hbars(["a", "b"], [4.0, 2.0]).axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 4.0), (0, 2.0)]
    assert axes.get_xlim()[0] == 0
    line = plots.line_by_month(MONTHS, np.linspace(50, 60, 18)).axes[0]
    assert line.get_ylim()[0] == 0


def test_bars_beyond_the_limit_are_counted() -> None:
    svg = saved(plots.hbars([f"p{i}" for i in range(400)], list(range(400, 0, -1)), limit=10)).svg
    assert "The first 10 of 400 are shown." in svg
    assert ">p10<" not in svg


def test_a_month_that_is_not_complete_is_not_the_labelled_last_value() -> None:
    figure = plots.line_by_month(MONTHS, [*range(100, 117), 3], complete=[True] * 17 + [False])
    assert ">116<" in saved(figure).svg
    assert ">3<" not in saved(plots.line_by_month(MONTHS, [*range(100, 117), 3], complete=[True] * 17 + [False])).svg


def test_a_few_months_are_named_each_and_no_days_between_them() -> None:
    axes = plots.line_by_month(MONTHS[:2], [5.0, 3.0]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Jan\n2024", "Feb\n2024"]


def test_fourth_quarters_are_shaded() -> None:
    assert saved(plots.line_by_month(MONTHS, range(18))).svg.count(">Q4<") == 1
    assert ">Q4<" not in saved(plots.line_by_month(MONTHS[:6], range(6))).svg


def test_colours_are_variables_with_fallbacks_and_text_is_left_alone() -> None:
    svg = saved(plots.hbars(["#0b6e99", "b"], [2.0, 1.0], warn=[1])).svg
    assert "var(--accent, #0b6e99)" in svg
    assert f"var(--bad, {BAD})" in svg
    assert ">#0b6e99<" in svg
    styles = re.sub(r"var\(--[a-z-]+, #[0-9a-f]{6}\)", "", " ".join(re.findall(r'style="([^"]*)"', svg)))
    assert not re.findall("|".join(ROLES), styles)


def test_two_charts_on_a_page_share_no_id() -> None:
    def ids(name: str) -> set[str]:
        figure = plots.line_by_month(MONTHS, range(18))
        svg = saved(figure, name=name).svg
        found = set(re.findall(r'\bid="([^"]+)"', svg))
        used = {first or second for first, second in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)}
        assert used <= found
        return found

    first, second = ids("one"), ids("two")
    assert first
    assert not first & second


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        saved(plots.hbars(["a", "b"], [2.0, 1.0]), tmp_path / folder)
    for kind in ("svg", "png", "csv"):
        name = f"a-chart.{kind}"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_chart_is_saved_as_picture_mail_picture_and_data(tmp_path: Path) -> None:
    chart = saved(plots.hbars(["a"], [2.0]), tmp_path)
    assert {kind: path.name for kind, path in chart.files.items()} == {
        "svg": "a-chart.svg",
        "png": "a-chart.png",
        "csv": "a-chart.csv",
    }
    assert all(path.stat().st_size > 0 for path in chart.files.values())
    standalone = chart.files["svg"].read_text(encoding="utf-8")
    ElementTree.fromstring(standalone.encode())
    assert "prefers-color-scheme:dark" in standalone
    assert chart.files["csv"].read_text() == "x\n1\n"


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert saved(plots.hbars(["a"], [2.0])).files == {}
    assert list(tmp_path.iterdir()) == []


def test_a_chart_shows_finding_measure_picture_data_and_query() -> None:
    data = pd.DataFrame({"amount": range(1000)})
    chart = save_chart(Insight("many", "Found", "Measure", "Bars", plots.hbars(["a"], [1.0]), data), "select a < b")
    html = chart.html
    assert "<h3>Found</h3>" in html
    assert "<p>Measure</p>" in html
    assert 'role="img" aria-label="Bars"' in html
    assert "<summary>Data and query</summary>" in html
    assert "select a &lt; b" in html
    assert "24 of 1,000\N{NO-BREAK SPACE}rows" in html
    assert "0x" not in repr(chart)


def test_a_pyplot_figure_is_closed_when_saved() -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2], label="$x$")
    saved(figure)
    assert not pyplot.fignum_exists(figure.number)
