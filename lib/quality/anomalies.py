"""Anomalies over time: days with too few or too many rows, sources that have stopped, shares that have shifted.

They are found here, as SQL has no medians that bear outliers, and written to `quality.anomalies`; the checks in `sql/`
read them there. What rows a day should bring is told by `lib.quality.volume`; docs/quality.md says it all for people
to read.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib.quality import volume
from lib.settings import Settings
from lib.warehouse import Warehouse

#: A source is stale where it has brought nothing for more days than these, and than its longest usual gap by this
#: factor; after so many more it is closed, and nobody waits for it.
STALE_DAYS, STALE_FACTOR, CLOSED_DAYS = 2, 1.5, 90


#: From this population stability index on a month's shares have shifted, against the same month of the year before (the
#: usual bound of a large shift), and against the months before, which know no season.
SHIFTED, SHIFTED_WITHOUT_SEASON = 0.25, 0.5


#: A month's shares are of so many rows at least, and at least this part of them is from systems that delivered before.
ENOUGH_ROWS, SAME_SYSTEMS = 500, 0.5


#: How rare a value is taken to be that was not there at all.
_RAREST = 0.0001


#: Measure -> what it is a share of, and the rows by day, system and value.
_SHARES = {
    "method": (
        "payments",
        "select cast(paid_at as date) as day, _source as source, method as value, count(*) as rows from clean.payments"
        " where paid_at is not null group by cast(paid_at as date), _source, method",
    ),
    "channel": (
        "orders",
        "select order_date as day, source, channel as value, count(*) as rows from warehouse.fact_orders"
        " group by order_date, source, channel",
    ),
    "category": (
        "order_items",
        "select items.order_date as day, items.source, products.category as value, count(*) as rows"
        " from warehouse.fact_order_items as items"
        " join warehouse.dim_products as products on products.product_key = items.product_key"
        " where items.line_type = 'sale' group by items.order_date, items.source, products.category",
    ),
    "device": (
        "sessions",
        "select session_date as day, '' as source, device as value, sum(sessions) as rows from analytics.daily_sessions"
        " group by session_date, device",
    ),
}


_ANOMALIES = ["rule", "source", "entity", "measure", "day", "observed", "expected", "low", "high", "score"]


def find_anomalies(settings: Settings, warehouse: Warehouse) -> pd.DataFrame:
    """Find the anomalies of a copy of the warehouse, write them to its `quality.anomalies`, and return them.

    Columns: rule (unusual_volume, stale_source, distribution_shift), source, entity, measure, day (the first of a month
    where the measure is a share, the last one with rows where a source is stale), observed, expected, low, high, score.
    """
    rows = [*_unusual_days(warehouse), *_stale_sources(settings, warehouse), *_shifts(warehouse)]
    frame = pd.DataFrame(rows, columns=_ANOMALIES)
    warehouse.replace("quality.anomalies", frame)
    return frame


def daily_volume(warehouse: Warehouse) -> pd.DataFrame:
    """Return each day of every series that can be judged.

    Columns: source, entity, day, rows, expected, low, high, z, is_unusual. Expected and what follows are null on days
    that are not judged (see `lib.quality.volume.judge`). Rows are those that count or, on a day of which far more than
    usual were delivered twice, those delivered.
    """
    columns = ["source", "entity", "day", "rows", "expected", "low", "high", "z", "is_unusual"]
    parts = []
    for (source, entity), judged in _judged(warehouse).items():
        if not judged.why_not:
            parts.append(judged.days.rename_axis("day").reset_index().assign(source=source, entity=entity)[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def unjudged(warehouse: Warehouse) -> pd.DataFrame:
    """Return the series that cannot be judged: source, entity, days, rows_a_day (the median), why."""
    rows = [
        (source, entity, len(judged.days), float(judged.days["rows"].median()), judged.why_not)
        for (source, entity), judged in _judged(warehouse).items()
        if judged.why_not
    ]
    return pd.DataFrame(rows, columns=["source", "entity", "days", "rows_a_day", "why"])


def freshness(settings: Settings, warehouse: Warehouse) -> pd.DataFrame:
    """Return how lately each source has delivered: source, last_day, gap_days, usual_gap_days, allowed_days, state.

    A gap is counted up to the newest day of all sources or, where it is later, the day that the shop was asked for. The
    state is fresh, stale or closed.
    """
    frame = warehouse.query(
        "select source, last_day, clock_day, gap_days, usual_gap_days from quality.source_freshness order by source"
    )
    last, clock = pd.to_datetime(frame["last_day"]), pd.to_datetime(frame["clock_day"])
    if settings.as_of:
        clock = clock.where(clock > pd.Timestamp(settings.as_of), pd.Timestamp(settings.as_of))
    gap, usual = (clock - last).dt.days, frame["usual_gap_days"]
    allowed = (usual * STALE_FACTOR).clip(lower=STALE_DAYS)
    state = np.select([gap >= CLOSED_DAYS, gap > allowed], ["closed", "stale"], "fresh")
    return pd.DataFrame(
        {
            "source": frame["source"],
            "last_day": last,
            "gap_days": gap.astype("int64"),
            "usual_gap_days": usual.astype("int64"),
            "allowed_days": allowed.astype("float64"),
            "state": state,
        }
    )


def shares(warehouse: Warehouse) -> pd.DataFrame:
    """Return the shares of each complete month that can be compared with the same month of the year before.

    Columns: measure (method, channel, category, device), month, value, share, share_before, rows, rows_before, psi,
    limit, is_shifted; the last five are the month's. Where there is no such month, the twelve months before stand for
    it. Only systems that delivered both times are compared: a system that takes over brings a mix of its own.
    """
    columns = [
        "measure",
        "month",
        "value",
        "share",
        "share_before",
        "rows",
        "rows_before",
        "psi",
        "limit",
        "is_shifted",
    ]
    rows = [(measure, *row) for measure, (_, sql) in _SHARES.items() for row in _shares_of(warehouse.query(sql))]
    return pd.DataFrame(rows, columns=columns)


def _judged(warehouse: Warehouse) -> dict[tuple[str, str], volume.Judged]:
    """Return every series of `quality.daily_volume`, judged."""
    found = warehouse.query(
        "select source, entity, day, rows, delivered_rows from quality.daily_volume order by source, entity, day"
    )
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
    if by_day.empty:
        return by_day
    return by_day.reindex(pd.date_range(by_day.index.min(), by_day.index.max(), freq="D"), fill_value=0)


def _unusual_days(warehouse: Warehouse) -> Iterator[tuple[Any, ...]]:
    days = daily_volume(warehouse)
    for day in days[days["is_unusual"].astype(bool)].to_dict("records"):
        what = ("unusual_volume", day["source"], day["entity"], "rows", _date(day["day"]))
        yield *what, float(day["rows"]), day["expected"], day["low"], day["high"], day["z"]


def _stale_sources(settings: Settings, warehouse: Warehouse) -> Iterator[tuple[Any, ...]]:
    found = freshness(settings, warehouse)
    for row in found[found["state"] == "stale"].to_dict("records"):
        gap, allowed = float(row["gap_days"]), float(row["allowed_days"])
        what = ("stale_source", row["source"], "", "days", _date(row["last_day"]))
        yield *what, gap, float(row["usual_gap_days"]), 0.0, allowed, gap / allowed


def _shifts(warehouse: Warehouse) -> Iterator[tuple[Any, ...]]:
    found = shares(warehouse)
    months = found[found["is_shifted"].astype(bool)].drop_duplicates(["measure", "month"])
    for row in months.to_dict("records"):
        measure = str(row["measure"])
        what = ("distribution_shift", "", _SHARES[measure][0], measure, _date(row["month"]))
        yield *what, float(row["rows"]), float(row["rows_before"]), None, row["limit"], row["psi"]


def _shares_of(rows: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the shares of each complete month that can be compared, as `shares` has them but for the measure.

    `rows` are by day, source and value.
    """
    days = pd.to_datetime(rows["day"])
    month = days.dt.to_period("M")
    whole = (month.dt.start_time >= days.min()) & (month.dt.end_time.dt.normalize() <= days.max())
    rows = rows.assign(month=month, value=rows["value"].fillna("none"))[whole]
    if rows.empty:
        return
    first = rows["month"].min()
    number = (rows["month"].dt.year - first.year) * 12 + rows["month"].dt.month - first.month
    (sources, of_source), (values, of_value) = (
        np.unique(rows[name].to_numpy(dtype=str), return_inverse=True) for name in ("source", "value")
    )
    counts = np.zeros((int(number.max()) + 1, len(sources), len(values)))
    np.add.at(counts, (number.to_numpy(), of_source, of_value), rows["rows"].to_numpy(dtype=float))
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
            told = (n, n_before, psi, limit, psi > limit)
            for value, share, share_before in zip(values, ours / n, theirs / n_before, strict=True):
                if share or share_before:
                    yield (first + now).to_timestamp(), value, share, share_before, *told
            break


def _stability_index(now: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """Return the population stability index of two counts by value, less what chance alone makes of so few rows."""
    seen = (now + before) > 0
    ours, theirs = (np.maximum(counts[seen] / counts.sum(), _RAREST) for counts in (now, before))
    by_chance = (int(seen.sum()) - 1) * (1 / now.sum() + 1 / before.sum())
    return max(float(((ours - theirs) * np.log(ours / theirs)).sum()) - by_chance, 0.0)


def _date(day: Any) -> date:
    return pd.Timestamp(day).date()
