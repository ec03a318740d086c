"""Anomalies over time: days with too few or too many rows, sources that have stopped, shares that have shifted.

They are found here, as SQL has no medians that bear outliers, and written to `quality.anomalies`, where the checks in
`sql/` read them. How many rows a day should bring is computed by `lib.quality.volume`; all of it is described in
docs/quality.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib.base.queries import read_query
from lib.quality import volume
from lib.settings import Settings
from lib.warehouse import Warehouse

#: A source is stale after more days without rows than these, and than its longest usual gap times this factor. After
#: the last number of days it is closed, and no delivery is expected of it.
STALE_DAYS, STALE_FACTOR, CLOSED_DAYS = 2, 1.5, 90

#: A month's shares have shifted from this population stability index on: against the same month of the year before (the
#: usual bound of a large shift), and against the months before, which leave the season out.
SHIFTED, SHIFTED_WITHOUT_SEASON = 0.25, 0.5

#: The fewest rows of a month whose shares are compared, and the least part of them from systems that delivered before.
ENOUGH_ROWS, SAME_SYSTEMS = 500, 0.5

#: The share assumed for a value that did not occur at all.
_RAREST = 0.0001

#: The series by day, and how recently each source delivered.
DAILY_VOLUME = "select * from quality.daily_volume order by source, entity, day"
FRESHNESS = "select source, last_day, clock_day, gap_days, usual_gap_days from quality.source_freshness order by source"

_COLUMNS = ["rule", "source", "entity", "measure", "day", "observed", "expected", "low", "high", "score"]


@dataclass(frozen=True)
class Watched:
    """What was looked at for anomalies, usual or not: the answers of `daily_volume`, `freshness` and `shares`."""

    days: pd.DataFrame = field(default_factory=pd.DataFrame)
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)
    shares: pd.DataFrame = field(default_factory=pd.DataFrame)


def find_anomalies(settings: Settings, warehouse: Warehouse) -> Watched:
    """Find the anomalies of a copy of the warehouse, write them to its `quality.anomalies`, and return what was seen.

    The table's columns: rule (unusual_volume, stale_source, distribution_shift), source, entity, measure, day (the
    first of a month where the measure is a share, the last one with rows where a source is stale), observed, expected,
    low, high, score.
    """
    seen = Watched(daily_volume(warehouse), freshness(settings, warehouse), shares(warehouse))
    days = seen.days[seen.days["is_unusual"].astype(bool)]
    late = seen.sources[seen.sources["state"] == "stale"]
    months = seen.shares[seen.shares["is_shifted"].astype(bool)].drop_duplicates(["measure", "month"])
    found = (
        days.assign(rule="unusual_volume", measure="rows", observed=days["rows"], score=days["z"]),
        late.assign(rule="stale_source", entity="", measure="days", day=late["last_day"], observed=late["gap_days"])
        .assign(expected=late["usual_gap_days"], low=0.0, high=late["allowed_days"])
        .assign(score=late["gap_days"] / late["allowed_days"]),
        months.assign(rule="distribution_shift", source="", day=months["month"], observed=months["rows"]).assign(
            expected=months["rows_before"], low=np.nan, high=months["limit"], score=months["psi"]
        ),
    )
    rows = [row for frame in found for row in frame[_COLUMNS].itertuples(index=False, name=None)]
    anomalies = pd.DataFrame(rows, columns=_COLUMNS).astype(dict.fromkeys(_COLUMNS[5:], float))
    warehouse.replace("quality.anomalies", anomalies.assign(day=pd.to_datetime(anomalies["day"]).dt.date))
    return seen


def daily_volume(warehouse: Warehouse, sql: str = DAILY_VOLUME) -> pd.DataFrame:
    """Return each day of every series that can be judged, of those that a query gives.

    Columns: source, entity, day, rows, expected, low, high, z, is_unusual. Expected and what follows are null on days
    that are not judged (see `lib.quality.volume.judge`). Rows are those that count or, on a day of which far more than
    usual were delivered twice, those delivered.
    """
    columns = ["source", "entity", "day", "rows", "expected", "low", "high", "z", "is_unusual"]
    parts = [
        judged.days.rename_axis("day").reset_index().assign(source=source, entity=entity)[columns]
        for (source, entity), judged in _judged(warehouse.query(sql)).items()
        if not judged.why_not
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def freshness(settings: Settings, warehouse: Warehouse) -> pd.DataFrame:
    """Return how recently each source has delivered: source, last_day, gap_days, usual_gap_days, allowed_days, state.

    A gap is counted up to the newest day of all sources or, where it is later, the day that the shop was asked for. The
    state is fresh, stale or closed.
    """
    found = warehouse.query(FRESHNESS)
    gap = found["gap_days"]
    if settings.as_of:
        gap += (pd.Timestamp(settings.as_of) - pd.to_datetime(found["clock_day"])).dt.days.clip(lower=0)
    allowed = (found["usual_gap_days"] * STALE_FACTOR).clip(lower=STALE_DAYS)
    state = np.select([gap >= CLOSED_DAYS, gap > allowed], ["closed", "stale"], "fresh")
    found = found.assign(
        last_day=pd.to_datetime(found["last_day"]), gap_days=gap, allowed_days=allowed.astype(float), state=state
    )
    return found.drop(columns="clock_day").astype({"gap_days": "int64", "usual_gap_days": "int64"})


def shares(warehouse: Warehouse) -> pd.DataFrame:
    """Return the shares of each complete month that can be compared with the same month of the year before.

    Columns: measure (method, channel, category, device), entity, month, value, share, share_before, rows, rows_before,
    psi, limit, is_shifted; the last five are the month's. Where there is no such month, the twelve months before
    are used. Only systems that delivered both times are compared: a system that replaces another has a mix of its own.
    """
    columns = ["measure", "entity", "month", "value", "share", "share_before"]
    columns += ["rows", "rows_before", "psi", "limit", "is_shifted"]
    found = warehouse.query(read_query("queries/quality/monthly_shares"))
    groups = found.groupby(["measure", "entity"], sort=False)
    rows = [(*of, *row) for of, own in groups for row in _shares_of(own)]
    return pd.DataFrame(rows, columns=columns)


def _judged(found: pd.DataFrame) -> dict[tuple[str, str], volume.Judged]:
    """Return every series of `quality.daily_volume`, judged."""
    found["day"] = pd.to_datetime(found["day"])
    # Some rows are delivered twice every day; on a day when all are, it is not what counts that is unusual.
    times = found["delivered_rows"] / found["rows"]
    usual = times.groupby([found["source"], found["entity"]]).transform("median")
    found["rows"] = found["rows"].where(times < volume.UNUSUAL_FACTOR * usual, found["delivered_rows"])
    orders = _daily(found[found["entity"] == "orders"])
    return {
        (str(source), str(entity)): volume.judge(_daily(rows), orders, are_orders=entity != "events")
        for (source, entity), rows in found.groupby(["source", "entity"])
    }


def _daily(rows: pd.DataFrame) -> pd.Series:
    """Return the rows of each day from the first to the last."""
    by_day = rows.groupby("day")["rows"].sum()
    return by_day.asfreq("D", fill_value=0) if len(by_day) else by_day


def _shares_of(rows: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the shares of each month that can be compared, as `shares` has them but for measure and entity.

    `rows` are by month, source and value.
    """
    month = pd.to_datetime(rows["month"]).dt.to_period("M")
    number = (month - month.min()).map(lambda months: months.n).to_numpy()
    sources, values = (pd.factorize(rows[name], sort=True) for name in ("source", "value"))
    counts = np.zeros((number.max() + 1, len(sources[1]), len(values[1])))
    np.add.at(counts, (number, sources[0], values[0]), rows["rows"].to_numpy(float))
    for now in range(1, len(counts)):
        # Sums of no months where there are not twelve before.
        year_before, months_before = counts[max(now - 12, 0) : max(now - 11, 0)], counts[max(now - 12, 0) : now]
        for earlier, limit in ((year_before, SHIFTED), (months_before, SHIFTED_WITHOUT_SEASON)):
            before = earlier.sum(axis=0)
            same = (counts[now].sum(axis=1) > 0) & (before.sum(axis=1) > 0)
            ours, theirs = counts[now][same].sum(axis=0), before[same].sum(axis=0)
            n, n_before = int(ours.sum()), int(theirs.sum())
            if min(n, n_before) < ENOUGH_ROWS or n < SAME_SYSTEMS * counts[now].sum():
                continue
            psi = _stability_index(ours, theirs)
            of_month = (n, n_before, psi, limit, psi > limit)
            for value, share, share_before in zip(values[1], ours / n, theirs / n_before, strict=True):
                if share or share_before:
                    yield (month.min() + now).to_timestamp(), value, share, share_before, *of_month
            break


def _stability_index(now: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """Return the population stability index of two counts by value, less what chance alone makes of so few rows."""
    seen = (now + before) > 0
    ours, theirs = (np.maximum(counts[seen] / counts.sum(), _RAREST) for counts in (now, before))
    by_chance = (int(seen.sum()) - 1) * (1 / now.sum() + 1 / before.sum())
    return max(float(((ours - theirs) * np.log(ours / theirs)).sum()) - by_chance, 0.0)
