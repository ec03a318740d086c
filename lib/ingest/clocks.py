"""Doubts about an entity's times: a sentence for whoever sets up a source (what is read is in `lib.clean.arrival`).

A wrong zone shows in no single value, but in shops that are busiest at night; a time that is in a column of its own, in
rows that are all of midnight.
"""

import glob
from collections.abc import Sequence
from pathlib import Path

import duckdb

from lib.base.errors import PipelineError
from lib.base.quoting import text_literal
from lib.cells.formats import LAST_TIME, Zones, define_macros, define_zones
from lib.cells.mapping import cells
from lib.cells.reading import read
from lib.cells.rows import RawRows, prepared
from lib.config import EntitySource, Source
from lib.entities import ENTITIES

#: The time by which each entity's rows are counted.
_TIMES = {"orders": "ordered_at", "order_lines": "ordered_at", "payments": "paid_at", "events": "event_at"}

#: So many rows are looked at, and so few say nothing.
_SAMPLE, _ENOUGH = 20_000, 3


def clock_of(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[Path], entity: str, source: Source, spec: EntitySource
) -> str:
    """Return a sentence where the times in new raw parts look wrong, empty where they do not.

    What cannot be read says nothing here: that is the row rules' to tell.
    """
    if entity not in _TIMES or not parts:
        return ""
    column = ENTITIES[entity].column(_TIMES[entity])
    listed = ", ".join(text_literal(glob.escape(str(part))) for part in parts)
    rows = f"(select * from read_parquet([{listed}], union_by_name = true) limit {_SAMPLE}) r"
    try:
        define_macros(connection)
        define_zones(connection)
        types = dict(connection.execute(f"select column_name, column_type from (describe from {rows})").fetchall())
        raw = prepared(connection, RawRows(rows, types), entity, spec, entity)
        (cell,) = cells([column], spec, source, raw)
        if not cell.source_column and column.name not in raw.computed:
            return ""
        query = read([cell], spec, Zones.of(source), LAST_TIME, raw.source)
        local = f"timezone({text_literal(source.shop_zone)}, timezone('UTC', value_{column.name}))"
        (found,) = connection.execute(
            f"""
            select count(*), count(*) filter (where local = date_trunc('day', local)), mode(hour(local)),
                count(*) filter (where hour(local) < 6), count(*) filter (where value = date_trunc('day', value))
            from (select value_{column.name} as value, {local} as local from ({query})) where local is not null
            """
        ).fetchall()
    except (PipelineError, duckdb.Error):
        return ""
    count, midnights, usual, at_night, in_utc = found
    if count < _ENOUGH:
        return ""
    if midnights == count:
        return (
            f"{column.name} has no time of day in any row, so hours are not known; where the time is in a column of its"
            " own, join them: {sql: '\"Date\" || '' '' || \"Time\"'}"
        )
    if in_utc == count:
        return (
            f"{column.name} is midnight in UTC in every row, which is {usual:02}:00 in {source.shop_zone}; where these"
            f" are dates, and no times, set 'date: true' of {column.name}"
        )
    if 2 * at_night > count:
        return f"most times in {column.name} are at night, {usual:02}:00 in {source.shop_zone}: is 'time_zone' right?"
    return ""
