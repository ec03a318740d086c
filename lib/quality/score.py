"""Scores, in points of 100: what the findings of checks and rules, and the state of the money, come to.

    check       100 x (1 - failing rows / tested rows)
    table       100 x the product of (1 - weight x failing rows / tested rows) over its checks; the same by dimension
    dimension   half the mean of its tables, half the worst of them
    rows        100 x (1 - rows with a fault / rows) by entity, half the mean and half the worst; a row in which values
                were only written in another form (blanks, capitals, another form of a date) counts a tenth
    money       100 x (1 - (quarantined + unconverted + unexplained + 1/2 guessed + 1/4 repaired + 1/10 merged)
                / delivered), of sales and of payments, half the mean and half the worst
    overall     of dimensions, rows and money: half the mean, half the worst

Half the worst, so that one bad side does not vanish in the mean. More faults never raise a score, and it is 100 only
where nothing is found. A check's weight is 1, less where many shops have nothing to state (`weight` in its `meta`). A
check that has nothing to look at, and a warning about a column that the shop does not have at all (every row fails),
say nothing about the rows; they are shown as `absent` and not scored. The same is in docs/quality.md.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

DIMENSIONS = ("completeness", "validity", "consistency", "uniqueness", "timeliness")

#: What is scored beside the dimensions of the checks.
ROWS, MONEY = "rows", "money"

#: How much of a row counts as faulty of which values were only written in another form.
REWRITTEN = 0.1

#: How much of the money in each state is held against the score.
HELD_AGAINST = {
    "quarantined": 1.0,
    "unconverted": 1.0,
    "unexplained": 1.0,
    "guessed": 0.5,
    "repaired": 0.25,
    "merged": 0.1,
}

_GRADES = ((95, "A"), (90, "B"), (80, "C"), (70, "D"), (0, "E"))


@dataclass(frozen=True)
class Scores:
    """The scores of a run: `sides` by dimension, rows and money, `tables` by table, and all of them in one."""

    overall: float = 0.0
    sides: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, float] = field(default_factory=dict)


def scores(checks: pd.DataFrame, rows: pd.DataFrame, money: pd.DataFrame) -> Scores:
    """Return the scores of checks (as `lib.quality.checks.read` gives them), rows and money.

    `rows` has a row an entity: staged_rows, faulty_rows, rewritten_rows; `money` is `lib.quality.money.Money.rows`.
    """
    sides = {d: points for d in DIMENSIONS if (points := of_dimension(checks[checks["dimension"] == d])) is not None}
    if (points := of_rows(rows)) is not None:
        sides[ROWS] = points
    if (points := of_money(money)) is not None:
        sides[MONEY] = points
    return Scores(_cut(weighed(sides.values()) or 0.0), sides, by(checks, "table_name"))


def by(checks: pd.DataFrame, column: str) -> dict[str, float]:
    """Return the score of the checks by one of their columns; of the scored ones alone."""
    groups = checks.dropna(subset="score").groupby(column, sort=True)
    return {str(name): of_table(own) for name, own in groups}


def of_table(checks: pd.DataFrame) -> float:
    """Return the score of a table's checks: whether faults of two are in the same rows is taken to be chance."""
    pairs = zip(checks["weight"], checks["score"], strict=True)
    return _cut(100.0 * math.prod(1 - weight * (1 - points / 100) for weight, points in pairs))


def of_dimension(checks: pd.DataFrame) -> float | None:
    """Return the score of a dimension's checks; None where none is scored."""
    points = weighed(by(checks, "table_name").values())
    return None if points is None else _cut(points)


def of_rows(rows: pd.DataFrame) -> float | None:
    """Return the score of the rows that rules found something in; None where there are none."""
    shares = [
        1 - min((row["faulty_rows"] + REWRITTEN * row["rewritten_rows"]) / row["staged_rows"], 1.0)
        for row in rows[rows["staged_rows"] > 0].to_dict("records")
    ]
    points = weighed(100.0 * share for share in shares)
    return None if points is None else _cut(points)


def of_money(money: pd.DataFrame) -> float | None:
    """Return the score of the money; None where there is none."""
    parts = ["delivered", *HELD_AGAINST]
    sums = money.astype(dict.fromkeys(parts, float)).groupby("kind")[parts].sum()
    sums = sums[sums["delivered"] > 0]
    lost = [sum(weight * row[part] for part, weight in HELD_AGAINST.items()) for row in sums.to_dict("records")]
    points = weighed(100.0 * (1 - min(lost / all_, 1.0)) for lost, all_ in zip(lost, sums["delivered"], strict=True))
    return None if points is None else _cut(points)


def weighed(points: Iterable[float]) -> float | None:
    """Return half the mean and half the least of some scores; None where there are none."""
    values = list(points)
    return (sum(values) / len(values) + min(values)) / 2 if values else None


def grade(score: float) -> str:
    """Return the letter for a score: A from 95, B from 90, C from 80, D from 70, else E."""
    return next(letter for least, letter in _GRADES if score >= least)


def _cut(points: float) -> float:
    """Return points with two decimals, cut: only what is whole is 100."""
    return math.floor(points * 100 + 1e-7) / 100
