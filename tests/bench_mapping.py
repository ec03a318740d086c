"""`make bench-mapping`: what a mapping by expressions costs, beside a plain one that gives the same rows.

The lines of an export are ingested once; then they are read by one mapping after the other. CPU seconds are those of
this process.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import yaml

from lib.clean.standardize import standardize
from lib.ingest.run import ingest
from lib.lake import Lake
from lib.settings import load_settings

_EXPORT = """
select 'R' || (i // 3) as order_id, i % 3 + 1 as line, 'R' as series, i // 3 as number,
    strftime(timestamp '2024-01-01' + to_minutes(i % 500000), '%Y-%m-%d %H:%M:%S') as ordered_at,
    strftime(timestamp '2024-01-01' + to_minutes(i % 500000), '%Y-%m-%d') as date,
    strftime(timestamp '2024-01-01' + to_minutes(i % 500000), '%H:%M:%S') as time,
    'C' || (i * 7 % 90001) as customer, 'SKU-' || (i * 13 % 2003) as sku, 'Article ' || (i * 13 % 2003) as name,
    i % 9 + 1 as quantity, cast(i * 31 % 10000 / 100 as decimal(9, 2)) as price,
    cast((i % 9 + 1) * (i * 31 % 10000) / 100 as decimal(12, 2)) as total,
    cast(i % 5 / 20 as decimal(3, 2)) as rate,
    cast((i % 9 + 1) * (i * 31 % 10000) * (i % 5) / 2000 as decimal(12, 4)) as discount,
    case when i // 3 % 50 = 0 then 'refunded' else 'paid' end as status
from range({rows}) t(i)
"""
_SAME = {"customer_id": "customer", "product_id": "sku", "product_name": "name", "quantity": "quantity"}
_PLAIN = {
    "order_id": "order_id",
    "line_number": "line",
    "ordered_at": "ordered_at",
    "unit_price": "price",
    "discount_amount": "discount",
    "status": "status",
    **_SAME,
}
_COMPUTED = {
    "order_id": {"sql": "series || number"},
    "line_number": {"sql": "line"},
    "ordered_at": {"sql": '"date" || \' \' || "time"'},
    "unit_price": {"sql": "total / quantity"},
    "discount_amount": {"sql": "total * rate"},
    "status": {"sql": "case when status = 'refunded' then 'refunded' else 'paid' end"},
    **_SAME,
}


def main() -> None:
    """Measure both mappings and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--repeat", type=int, default=2, help="how often each is measured; the least counts")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        (root / "exports").mkdir()
        with duckdb.connect() as connection:
            target = root / "exports" / "lines.csv"
            connection.execute(f"copy ({_EXPORT.format(rows=chosen.rows)}) to '{target}' (header)")
        took: dict[str, list[float]] = {"plain": [], "by expression": []}
        contents: list[Any] = []
        for turn in range(chosen.repeat):
            for label, columns in (("plain", _PLAIN), ("by expression", _COMPUTED)):
                seconds, content = _standardized(root, columns, turn)
                took[label].append(seconds)
                contents.append(content)
    if any(content != contents[0] for content in contents):
        raise SystemExit(f"the mappings give different rows: {contents}")
    plain, computed = (min(seconds) for seconds in took.values())
    both = f"plain {plain:.1f} s CPU, by expression {computed:.1f} s, {computed / plain:.2f} times as long"
    print(f"mapping of {chosen.rows:,} lines: {both}")


def _standardized(root: Path, columns: dict[str, Any], turn: int) -> tuple[float, Any]:
    """Return the CPU seconds of reading the ingested lines by a mapping, and a sum over what it gives."""
    entity = {"files": "*.csv", "columns": columns, "null_values": [f"turn {turn}"]}
    content = {
        "shop": {"name": "Bench", "currency": "EUR", "time_zone": "UTC"},
        "sources": {"till": {"kind": "files", "path": str(root / "exports"), "entities": {"order_lines": entity}}},
    }
    file = root / "bench.yml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    settings = load_settings(sources=file, data_dir=root / "data", output_dir=root / "outputs")
    ingest(settings, "bench").raise_failures()
    lake = Lake(settings.lake_url)
    started = time.process_time()
    (made,) = standardize(settings, lake, lake.batches())
    seconds = time.process_time() - started
    with duckdb.connect() as connection:
        names = ", ".join(column for column in _PLAIN)
        query = f"select count(*), sum(hash({names})), count(*) filter (_reject_rule is not null) from read_parquet(?)"
        return seconds, connection.execute(query, [made.path]).fetchone()


if __name__ == "__main__":
    main()
