"""The old system's history: typed Parquet by year, final from the first day of the live systems on."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from lib.shop import history
from lib.shop.life import ShopLife, simulate_life
from lib.shop.sizes import SIZES
from lib.shop.systems import Holdings, ShopFacts

SHOP = ShopFacts(replace(SIZES["small"], live_from=date(2024, 12, 27)), 42, "EUR", "Europe/Berlin")


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(SHOP.size, SHOP.seed, date(2025, 12, 31), SHOP.time_zone)


def write(life: ShopLife, folder: Path, after: int, through: int) -> Holdings:
    return history.write(life, folder, SHOP, after, through, lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def table(folder: Path, entity: str) -> pa.Table:
    return pyarrow.dataset.dataset(folder / "history" / entity).to_table()


def test_the_files_hold_typed_columns_by_the_local_year_of_the_order(life, tmp_path):
    held = write(life, tmp_path, -1, SHOP.live_from)
    orders = table(tmp_path, "orders")
    money, time = pa.decimal128(18, 2), pa.timestamp("us", tz="UTC")
    assert {orders.schema.field(name).type for name in ("total_amount", "tax_amount")} == {money}
    assert {orders.schema.field(name).type for name in ("ordered_at", "updated_at")} == {time}
    assert set(orders["channel"].to_pylist()) == {"history"}
    assert set(orders["status"].to_pylist()) == {"completed", "cancelled"}
    for path in sorted((tmp_path / "history/orders").iterdir()):
        (name,) = (p.name for p in path.iterdir())
        file = pq.ParquetFile(path / name)
        assert (name, file.metadata.row_group(0).column(0).compression) == ("part-0.parquet", "ZSTD")
        local = pc.local_timestamp(file.read()["ordered_at"].cast(pa.timestamp("us", tz=SHOP.time_zone)))
        assert {f"year={year}" for year in pc.year(local).to_pylist()} == {path.name}
    assert held.rows == {entity: table(tmp_path, entity).num_rows for entity in history.ENTITIES}
    assert (held.first_date, held.last_date) == ("2015-01-04", "2024-12-21")
    found = contents(tmp_path)
    assert (held.files, held.bytes) == (len(found), sum(map(len, found.values())))


def test_all_of_an_order_is_exported_with_what_came_back_after_the_close(life, tmp_path):
    write(life, tmp_path, -1, SHOP.live_from)
    old = life.orders.placed.day < SHOP.live_from
    orders, items, payments = (table(tmp_path, entity) for entity in history.ENTITIES)
    assert orders.num_rows == old.sum()
    assert int(pc.sum(orders["total_amount"]).as_py() * 100) == life.orders.total[old].sum()
    assert items.num_rows == old[life.lines.order - 1].sum()
    assert payments.num_rows == old[life.payments.order - 1].sum()
    late = (life.lines.day >= SHOP.live_from) & old[life.lines.order - 1]
    assert late.any()
    # Goods, discounts, shipping and returns of an order are what was paid for it.
    goods = items.append_column("worth", pc.multiply(items["unit_price"], items["quantity"].cast(pa.decimal128(10, 0))))
    sums = goods.group_by("order_id").aggregate([("worth", "sum"), ("discount_amount", "sum")])
    signed = pc.if_else(pc.equal(payments["status"], "refunded"), pc.negate(payments["amount"]), payments["amount"])
    paid = payments.append_column("signed", signed).filter(pc.field("status") != "failed")
    joined = orders.filter(pc.field("status") == "completed").join(sums, "order_id")
    joined = joined.join(paid.group_by("order_id").aggregate([("signed", "sum")]), "order_id").to_pylist()
    assert all(
        row["worth_sum"] - row["discount_amount_sum"] + row["shipping_amount"] == row["signed_sum"] for row in joined
    )


def test_the_history_is_the_same_in_one_step_and_in_many_and_then_left_alone(life, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    held = write(life, one, -1, SHOP.live_from + 100)
    first = SHOP.live_from
    for after, through in ((-1, first - 40), (first - 40, first - 1), (first - 1, first + 3), (first + 3, first + 100)):
        again = write(life, many, after, through)
        # The remains of a killed run.
        (many / "history/orders/.part-0.parquet.part").write_bytes(b"x")
    (many / "history/orders/.part-0.parquet.part").unlink()
    assert (contents(one), held) == (contents(many), again)
    stamps = {p: p.stat().st_mtime_ns for p in many.rglob("*.parquet")}
    assert write(life, many, first + 100, first + 101) == held
    assert {p: p.stat().st_mtime_ns for p in many.rglob("*.parquet")} == stamps


def test_before_the_close_the_history_holds_what_happened_by_the_day(life, tmp_path):
    through = SHOP.live_from - 20
    write(life, tmp_path, -1, through)
    closing = pa.scalar(int(life.timepiece.day_starts[through + 1]) * 1_000_000).cast(pa.timestamp("us", tz="UTC"))
    for entity in history.ENTITIES:
        assert pc.max(table(tmp_path, entity)["updated_at"]).as_py() < closing.as_py()
    assert table(tmp_path, "orders").num_rows == (life.orders.placed.day <= through).sum()
