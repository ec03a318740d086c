"""How new rows arrive, before they are loaded: which zone their times were read in and what hours come of it, and the
first of them as the mapping makes them. The typed rows are those that `03_clean` loads; they are made once.
"""

import glob
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pandas as pd

from lib.base.errors import PipelineError
from lib.base.quoting import quoted, text_literal
from lib.clean.standardize import standardize
from lib.config import Source
from lib.entities import ENTITIES, LINEAGE
from lib.lake import Lake
from lib.settings import Settings

#: How many rows of each entity are shown as they arrive.
FIRST_ROWS = 3

_CLOCK_COLUMNS = ["source", "entity", "column", "zone", "rows", "hours", "first day", "last day"]


@dataclass(frozen=True)
class Arrived:
    """New rows as they arrive: `clocks` has a row a source, entity and column of times, `samples` rows by name.

    `problem` says why they could not be made; `03_clean` stops with it.
    """

    clocks: pd.DataFrame
    samples: dict[str, pd.DataFrame]
    problem: str = ""


def arrived(settings: Settings, batch_ids: Iterable[str]) -> Arrived:
    """Return how the rows of some batches arrive."""
    wanted, lake = {name for name in batch_ids if name}, Lake(settings.lake_url)
    paths: dict[tuple[str, str], list[str]] = {}
    problem = ""
    try:
        for item in standardize(settings, lake, [b for b in lake.batches() if b.batch_id in wanted]):
            paths.setdefault((item.batch.source, item.batch.entity), []).append(glob.escape(item.path))
    except PipelineError as error:
        problem = str(error)
    clocks, samples = [], {}
    with lake.connect(settings) as connection:
        for (name, entity), files in paths.items():
            rows = f"read_parquet([{', '.join(map(text_literal, files))}])"
            source = settings.config.sources[name]
            clocks += [(name, entity, *row) for row in _clocks(connection, rows, entity, source)]
            samples[f"{name}: {entity}"] = _first(connection, rows)
    return Arrived(pd.DataFrame(clocks, columns=_CLOCK_COLUMNS), samples, problem)


def _clocks(
    connection: duckdb.DuckDBPyConnection, rows: str, entity: str, source: Source
) -> list[tuple[str, str, int, str, object, object]]:
    """Return, for each column of times that has any: its name, zone, rows, hours, first and last day.

    Hours and days are on the shop's clock. A time at midnight there is a date alone.
    """
    found = []
    whose = "" if source.time_zone else ", the shop's"
    for column in (c.name for c in ENTITIES[entity].columns if c.kind == "timestamp"):
        sql = f"""
            with times as (
                select timezone({text_literal(source.shop_zone)}, timezone('UTC', {quoted(column)})) as moment
                from {rows} where {quoted(column)} is not null and _reject_rule is null
            ), judged as (
                select moment, moment = date_trunc('day', moment) as is_date, hour(moment) as hour from times
            )
            select
                count(*), count(*) filter (is_date), quantile_disc(hour, 0.02) filter (not is_date),
                quantile_disc(hour, 0.98) filter (not is_date), mode(hour) filter (not is_date),
                cast(min(moment) as date), cast(max(moment) as date)
            from judged"""
        ((count, dates, first, last, busiest, first_day, last_day),) = connection.execute(sql).fetchall()
        if count:
            hours = _hours(dates / count, first, last, busiest)
            found.append((column, f"{source.zone}{whose}", count, hours, first_day, last_day))
    return found


def _hours(dates: float, first: int | None, last: int | None, busiest: int | None) -> str:
    """Return `dates only`, or between which hours the times lie and at which most do."""
    if first is None or last is None:
        return "dates only"
    hours = f"{first}:00 to {last}:59, most from {busiest}:00"
    return hours if dates < 0.01 else f"{hours}; {dates:.0%} are dates only"


def _first(connection: duckdb.DuckDBPyConnection, rows: str) -> pd.DataFrame:
    """Return the first rows that can be used, without what is nowhere stated."""
    lineage = ", ".join(map(quoted, [*LINEAGE, "_findings"]))
    frame = connection.execute(
        f"select * exclude ({lineage}) from (select * from {rows} where _reject_rule is null limit {FIRST_ROWS})"
    ).df()
    return frame.dropna(axis="columns", how="all")
