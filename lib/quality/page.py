"""The page of `05_quality`: what the audit of a run found, and the sections that show it, in their order.

Scoring is in `lib.quality.score`; what the sections show of checks, rules, time and totals is made in
`lib.quality.failures`, `dispositions`, `charts` and `tables`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.base.queries import read_query
from lib.clean.accounting import ACCOUNTING, accounting, merged_rows
from lib.config import Gate
from lib.quality import anomalies, charts, dispositions, gate, money, reconciliation, tables, words
from lib.quality import audit as auditing
from lib.quality.audit import Audit, failing_rows
from lib.quality.failures import failures
from lib.quality.score import DIMENSIONS, MONEY, ROWS
from lib.quality.scorecard import Scorecard, compare
from lib.report import pieces
from lib.report.insight import Result
from lib.report.pieces import Html
from lib.warehouse import Warehouse

LONG_REASON = 110  # characters of a reason that the heading has room for
FIRST_WORDS = 40  # characters that say something before a bracket

#: The tables of examples below the comparison with the ledger.
_EXAMPLES = {"missed": "Missed", "wrong": "Flagged and not planted", "misrepaired": "Not as before"}


def audit(stage: Any, *, by_dimension: bool = False) -> "Page":
    """Run every check on the stage's private copy of the warehouse, and compare with the ledger where there is one.

    `by_dimension` as for `lib.quality.audit`.
    """
    warehouse = stage.writable()
    stage.progress("running the checks")
    result = auditing.audit(stage.settings, warehouse, stage.run_id, by_dimension=by_dimension)
    rows, outcomes = accounting(warehouse), dispositions.read_outcomes(warehouse)
    stage.progress("comparing with the ledger of planted defects, where there is one")
    card = compare(stage.settings, warehouse)
    return Page(result, rows, outcomes, card, stage.settings.config.quality, warehouse, stage)


def in_short(reason: str) -> str:
    """Return what a heading has room for of a reason: as far as its first bracket or colon, if that says anything."""
    said = re.split(r" \(|: |; ", reason[FIRST_WORDS:], maxsplit=1)
    text = (reason[:FIRST_WORDS] + said[0]).replace("`", "")
    return text if len(text) <= LONG_REASON else text[: LONG_REASON - 1] + "…"


@dataclass(frozen=True)
class Page:
    """What the audit of a run found: each method returns a part of the page.

    `rows` is the accounting of rows by source and entity, `outcomes` what the rules did, `card` the comparison with the
    ledger.
    """

    result: Audit
    rows: pd.DataFrame
    outcomes: pd.DataFrame
    card: Scorecard | None
    gate: Gate
    warehouse: Warehouse
    stage: Any

    def headline(self) -> Html:
        """Return the page's first sentences: may the data be published, what of the money is as delivered."""
        result, lost = self.result, self._total("unaccounted_rows")
        points, of_money = formatting.points(result.score), result.money.sentence()
        title = "Good enough to publish: " + (of_money or f"{points} of 100, grade {result.grade}")
        if not result.passed:
            first, *others = self._reasons()
            first = in_short(first)
            more = f" (and {formatting.count(len(others), 'more reason')})" if others else ""
            title = f"Not to be published: {first}{more}"
        sentences = [
            "" if result.passed else of_money,
            result.money.sentence(money.PAYMENTS),
            self._found(),
            self._kept(),
            self._weakest(),
            self._compared(),
        ]
        marks: list[str | tuple[str, pieces.Tone]] = [
            ("Gate passed", "good") if result.passed else ("Gate refused", "bad"),
            f"Score {points} · {result.grade}",
            (f"{formatting.count(lost, 'row')} lost", "bad") if lost else "No row lost",
        ]
        return pieces.headline(title, " ".join(f"{s[:1].upper()}{s[1:]}." for s in sentences if s), marks)

    def money(self) -> Html:
        """Return every reason why the gate refuses, what became of the money by source, and the control totals."""
        return pieces.joined(
            self.reasons(),
            tables.money_by_source(self.result.money, self.gate),
            tables.control_totals(self.result.totals),
        )

    def key_figures(self, scores: str) -> Html:
        """Return the figures at the top; `scores` as for `trend`."""
        return pieces.kpis(self.figures(charts.scores_by_run(self._history(scores))))

    def reasons(self) -> Html:
        """Return why the gate refuses; nothing where it does not, or where the heading says the only reason."""
        reasons = self._reasons()
        if len(reasons) < 2 and all(in_short(reason) == reason for reason in reasons):
            return pieces.NOTHING
        return pieces.joined(*(pieces.verdict(f"**The gate refuses:** {reason}.", "bad") for reason in reasons))

    def figures(self, by_run: pd.DataFrame) -> list[pieces.Kpi]:
        """Return the key figures; `by_run` has a row a run with the column `overall`, this run last."""
        result, staged = self.result, self._total("staged_rows")
        merged, waiting = merged_rows(self.rows), self._total("quarantined_rows")
        course = by_run["overall"].dropna().round(1).tolist() if "overall" in by_run else []
        change, against = course[-1] - course[-2] if len(course) > 1 else 0.0, ""
        if len(course) > 1:
            against = "on the last run" if abs(change) >= 0.05 else "as in the last run"
        turn = formatting.signed(change, 1, "pt") if abs(change) >= 0.05 else ""
        tone: pieces.Tone = "neutral" if not turn else "good" if change > 0 else "bad"
        idle = len(result.checks) - self._applied
        of = f"of {formatting.number(self._applied)}" + (f"; {idle:,} without rows to look at" if idle else "")
        sources = f"from {formatting.count(self.rows['source'].nunique(), 'source')}"
        shares = [f"{formatting.small(n / staged)} of rows" if staged and n else "" for n in (merged, waiting)]
        return [
            pieces.Kpi("Score", f"{formatting.points(result.score)} · {result.grade}", turn, tone, course, against),
            pieces.Kpi("Checks passed", formatting.number(self._applied - len(result.failed_checks)), note=of),
            pieces.Kpi("Rows checked", formatting.compact(staged), note=sources),
            pieces.Kpi("Cells repaired", formatting.compact(dispositions.cells(self.outcomes))),
            pieces.Kpi("Rows merged", formatting.compact(merged), note=shares[0]),
            pieces.Kpi("In quarantine", formatting.compact(waiting), note=shares[1]),
        ]

    def words(self) -> Html:
        """Return the statuses and events that nobody explained, with their counts and amounts."""
        return tables.unexplained_words(words.unexplained(self.warehouse, self.result), self.result.money.currency)

    def failures(self) -> Html:
        """Return the checks that found something, worst first, with some of their rows and what was done about them."""
        anchors = set(self.outcomes["rule"])
        return failures(
            self.result,
            lambda check: failing_rows(self.warehouse, self.result, check),
            lambda records: dispositions.of_records(self.warehouse, records, anchors),
            anchors,
        )

    def scores(self) -> Html:
        """Return a bar a side, each with what the gate asks for, and the scores by table."""
        sides = (*DIMENSIONS, ROWS, MONEY)
        scores: dict[str, float | None] = {d: self.result.scores[d] for d in sides if d in self.result.scores}
        least: dict[str, float] = {str(d): points for d, points in self.gate.min_dimension.items()}
        least["overall"] = self.gate.min_score
        return pieces.joined(
            pieces.score_bars(scores | {"overall": self.result.score}, least), tables.by_table(self.result)
        )

    def trend(self, scores: str) -> Html:
        """Return the scores by run; the query `scores` gives run_id, dimension and score, for this run's id as `?`."""
        return self.stage.show(charts.trend(self._history(scores), self.gate.min_score), scores)

    def dispositions(self) -> Html:
        """Return what the rules did with faulty rows, each rule with its sentence, its count and an example."""
        return dispositions.tables(self.outcomes)

    def daily_volumes(self, sql: str) -> Html:
        """Return the days of the series with unusual ones; `sql` gives rows of `quality.daily_volume`."""
        found = charts.daily_volumes(anomalies.daily_volume(self.warehouse, sql))
        none = pieces.note("No series is long enough, and has enough rows a day, to be judged.")
        return pieces.joined(*(self.stage.show(chart, sql) for chart in found)) or none

    def late_sources(self) -> Html:
        """Return when each source delivered last, those that stopped first."""
        fresh = pieces.note("The only source has delivered as recently as usual.")
        return tables.late_sources(self.result.watched.sources) or fresh

    def moved_shares(self) -> Html:
        """Return the months in which a distribution moved."""
        return tables.moved_shares(self.result.watched.shares) or pieces.note("No month has other shares than before.")

    def order_lines(self, query: str) -> Html:
        """Return the way of the order lines from the sources to the facts, by a query's file below `sql/`."""
        return self._way(read_query(query), charts.way_of_rows)

    def amounts(self, query: str) -> Html:
        """Return the way of the money from gross sales to the sums by month, by a query's file below `sql/`."""
        return self._way(read_query(query), lambda steps: charts.way_of_amounts(steps, self.stage.shop.currency))

    def totals(self) -> Html:
        """Return what each source reports that it holds beside what is held here, and where every row went."""
        totals = reconciliation.against_sources(self.warehouse)
        return pieces.joined(tables.against_sources(totals), tables.rows_by_source(self.rows, ACCOUNTING))

    def comparison(self) -> Html:
        """Return how the checks fare against the ledger of what was planted, by kind and with examples."""
        if self.card is None:
            return pieces.NOTHING
        examples = [tables.examples(title, getattr(self.card, name)) for name, title in _EXAMPLES.items()]
        return pieces.joined(tables.how_good(self.card.summary), tables.by_kind(self.card.kinds), *examples)

    def checks(self) -> Html:
        """Return every check with its score, folded."""
        return tables.checks(self.result)

    def close(self, *, publish: bool = False) -> Any:
        """Note the audit in the run's manifest, publish a draft by hand where that is asked for, and end the stage."""
        result, stage = self.result, self.stage
        ledger = {"ledger": self.card.summary} if self.card else {}
        stage.note(quality=result.manifest() | ledger)
        if publish and not stage.is_batch and result.passed:
            self.warehouse.record_run(stage.run_id, stage.settings.as_of, 0, result.score, result.manifest()["gate"])
            self.warehouse.publish()
        verdict = {"Checks": len(result.checks), "Gate": "passed" if result.passed else "refused"}
        facts = {"Score": result.score, "Grade": result.grade} | verdict
        return stage.finish(rows_in=self._total("staged_rows"), facts=facts)

    def _way(self, sql: str, chart: Callable[[pd.DataFrame], Result]) -> Html:
        steps = self.warehouse.query(sql)
        gaps = [pieces.verdict(sentence, "bad") for sentence in reconciliation.gaps(steps)]
        return pieces.joined(self.stage.show(chart(steps), sql), *gaps)

    def _history(self, scores: str) -> pd.DataFrame:
        return self.warehouse.query(scores, [self.stage.run_id])

    def _total(self, column: str) -> int:
        return int(self.rows[column].abs().sum())

    @property
    def _applied(self) -> int:
        """How many checks had anything to look at in this shop."""
        return int((self.result.checks["state"] != "absent").sum())

    def _reasons(self) -> list[str]:
        """Return the gate's reasons, for a reader who knows a check by its sentence and not by its name."""
        return gate.explained(self.result.reasons, set(self.result.checks["check_name"]))

    def _found(self) -> str:
        failed = self.result.failed_checks
        if failed.empty:
            return f"All {formatting.count(self._applied, 'check')} passed"
        errors = int((failed["severity"] == "error").sum())
        of_them = f"{errors} of them {'an error' if errors == 1 else 'errors'}" if errors else "none of them an error"
        return f"{formatting.count(len(failed), 'check')} of {self._applied} found something, {of_them}"

    def _kept(self) -> str:
        staged, waiting, lost = (self._total(f"{name}_rows") for name in ("staged", "quarantined", "unaccounted"))
        cells = dispositions.cells(self.outcomes)
        repaired = f"{formatting.count(cells, 'cell was', 'cells were')} repaired, " if cells else ""
        rest = f"**{lost:,} are unaccounted for**" if lost else "none is lost"
        if not staged:
            return "Not one row has been delivered yet"
        if not waiting:
            return f"{repaired}none of {staged:,} rows waits in quarantine, {rest}"
        return (
            f"{repaired}**{waiting:,}** of {staged:,} rows {'waits' if waiting == 1 else 'wait'} in quarantine, {rest}"
        )

    def _weakest(self) -> str:
        scores = self.result.scores
        if len(scores) < 2 or min(scores.values()) >= 99.95:
            return ""
        side = min(scores, key=lambda name: scores[name])
        return f"The weakest side is {side}, with {formatting.points(scores[side])}"

    def _compared(self) -> str:
        recall, precision = ((self.card.summary if self.card else {}).get(name) for name in ("recall", "precision"))
        if recall is None or precision is None:
            return ""
        found, right = formatting.rate(recall), formatting.rate(precision)
        return f"Of the planted defects these checks found **{found}**; **{right}** of what they found was planted"
