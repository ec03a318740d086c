"""The lake: a batch exists once its manifest does; nothing is half there, mixed or read twice."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lib.base.errors import LakeError
from lib.clean import load
from lib.clean.standardize import standardize
from lib.ingest.run import watermarks
from lib.lake import Lake
from lib.warehouse import open_warehouse
from tests.small_shop import SmallShop, csv, one, rows

FIRST = csv("order_id,ordered_at,customer_id", "1,2024-01-05 10:00:00,anna")
SECOND = csv("order_id,ordered_at,customer_id", "2,2024-01-06 10:00:00,bert")


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    shop = SmallShop(tmp_path, {"orders": {}})
    shop.write("orders/a.csv", FIRST)
    return shop


def folders(shop: SmallShop) -> list[Path]:
    """Return the folders of the shop's order batches, with or without a manifest."""
    return sorted((Path(shop.lake.url) / "raw" / "exports" / "orders").iterdir())


def test_a_batch_exists_only_with_its_manifest(shop):
    shop.ingest()
    (batch,) = shop.lake.batches()
    (folder,) = folders(shop)
    assert (folder.name, batch.rows, batch.sequence) == (batch.batch_id, 1, 1)
    (folder / "manifest.json").unlink()
    assert shop.lake.batches() == []


def test_a_lake_of_an_earlier_version_is_read_under_todays_names(shop):
    shop.ingest()
    (folder,) = folders(shop)
    before = shop.lake.batches()
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(text.replace('"reported_', '"told_'), encoding="utf-8")
    note = {"source": "exports", "entity": "orders", "batch_id": before[0].batch_id, "values": {"records": 1}}
    shop.lake.write_json("totals/exports/orders.json", note | {"told_by": "table orders", "told_at": "2026-01-31"})
    assert '"told_rows"' in (folder / "manifest.json").read_text(encoding="utf-8")
    assert shop.lake.batches() == before
    reported = note | {"reported_by": "table orders", "reported_at": "2026-01-31"}
    assert shop.lake.reported_totals() == [reported]


def test_what_a_killed_write_left_is_written_over(shop):
    shop.ingest()
    (folder,) = folders(shop)
    (folder / "manifest.json").unlink()
    (folder / "part-0007.parquet").write_bytes(b"half of a part")
    (folder / ".part-0000.parquet.partial").write_bytes(b"half of a copy")
    (folder / ".manifest.json.99.partial").write_text('{"batch_id":')
    assert one(shop.load(), "select customer_id from stage.orders") == "anna"
    assert folders(shop) == [folder]
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "part-0000.parquet"]


def test_a_killed_write_of_the_typed_rows_is_done_again(shop):
    shop.load()
    (typed,) = (Path(shop.lake.url) / "standardized").rglob("*.parquet")
    typed.rename(typed.with_name(f".{typed.name}.partial"))
    assert one(shop.load(), "select customer_id from stage.orders") == "anna"
    assert typed.exists()


def test_a_batch_id_follows_from_the_content(tmp_path):
    ids = []
    for name, content in (("one", FIRST), ("two", FIRST), ("three", SECOND)):
        shop = SmallShop(tmp_path / name, {"orders": {}})
        shop.write("orders/a.csv", content)
        shop.ingest()
        ids += [b.batch_id for b in shop.lake.batches()]
    assert ids[0] == ids[1] != ids[2]


def test_the_cursor_is_kept_in_the_manifests_before_and_after(shop):
    shop.ingest()
    shop.write("orders/b.csv", SECOND)
    shop.ingest()
    first, second = shop.lake.batches()
    assert (first.cursor_before["files"], first.cursor_after["files"], first.cursor_after["last_file"]) == (
        0,
        1,
        "orders/a.csv",
    )
    assert second.cursor_before == first.cursor_after
    assert watermarks(shop.settings) == {"exports.orders": second.cursor_after}
    assert second.cursor_after["last_file"] == "orders/b.csv"


def test_a_lake_refuses_another_shop(shop, tmp_path):
    shop.ingest()
    other = Lake(shop.settings.lake_url)
    with pytest.raises(LakeError, match=r"holds the shop 'small', and this run is for 'other'.*--data-dir"):
        other.claim({"shop": "other"})
    other.claim({"shop": "small"})


@pytest.mark.parametrize("damage", ["{", '{"batch_id": 1}', "[]", "null"])
def test_a_damaged_manifest_is_named_with_the_way_out(shop, damage):
    shop.ingest()
    (folder,) = folders(shop)
    (folder / "manifest.json").write_text(damage)
    with pytest.raises(LakeError, match=r"manifest\.json is damaged.*Remove its folder") as error:
        shop.lake.batches()
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("damage", [None, b"no parquet"])
def test_a_damaged_part_is_named_with_the_way_out(shop, damage):
    shop.ingest()
    (folder,) = folders(shop)
    part = folder / "part-0000.parquet"
    part.unlink() if damage is None else part.write_bytes(damage)
    with pytest.raises(LakeError, match=r"cannot be read.*Remove its folder"):
        next(standardize(shop.settings, shop.lake, shop.lake.batches()))


def test_a_batch_that_was_removed_is_read_again(shop):
    shop.load().publish()
    (folder,) = folders(shop)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    warehouse = shop.load()
    assert rows(warehouse, "select customer_id from stage.orders") == [("anna",)]
    assert [b.batch_id for b in shop.lake.batches()] == [folder.name]


def test_a_removed_newer_batch_gives_way_to_the_older_one(shop):
    first = shop.load()
    first.publish()
    shop.write("orders/a.csv", SECOND)
    shop.load().publish()
    newer = shop.lake.batches()[-1]
    folder = Path(shop.lake.path(newer.folder))
    for path in folder.iterdir():
        path.unlink()
    shop.write("orders/a.csv", FIRST)
    warehouse = shop.load()
    assert rows(warehouse, "select customer_id from stage.orders") == [("anna",)]
    assert one(warehouse, "select count(*) from ops.batches") == 1


def test_a_source_that_the_configuration_lost_is_named(shop):
    shop.ingest()
    shop.entities = {"payments": {}}
    warehouse = open_warehouse(shop.settings, "run")
    warehouse.begin()
    with pytest.raises(LakeError, match=r"holds exports\.orders, which the configuration no longer names"):
        load.load_stage(shop.settings, warehouse, "run")


def test_a_second_writer_waits_and_then_gives_up(shop, tmp_path):
    holder = textwrap.dedent(
        """
        import sys
        from lib.lake import Lake
        with Lake(sys.argv[1]).lock():
            print("held", flush=True)
            sys.stdin.readline()
        """
    )
    command = [sys.executable, "-c", holder, shop.settings.lake_url]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LakeError, match="is being written by another run"), shop.lake.lock(wait_seconds=0):
            pass
        process.kill()
        process.wait()
        with shop.lake.lock(wait_seconds=5):
            pass


def test_a_lake_in_memory_takes_and_gives_as_a_folder_does(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}}, config={"lake": f"memory://{tmp_path.name}/lake"})
    shop.write("orders/a.csv", FIRST)
    shop.write("orders/bad.csv", "")
    warehouse = shop.load()
    assert rows(warehouse, "select order_id, customer_id from stage.orders") == [("1", "anna")]
    assert [n["name"] for n in shop.lake.rejected()] == ["orders/bad.csv"]
    shop.write("orders/a.csv", SECOND)
    assert rows(shop.load(), "select order_id, customer_id from stage.orders") == [("2", "bert")]
    assert shop.ingest().rows == 0


def test_a_manifest_says_what_came_from_where(shop):
    shop.write("orders/b.csv", SECOND + "3\n")
    shop.ingest()
    (folder,) = folders(shop)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {k: manifest[k] for k in ("source", "entity", "run_id", "rows", "malformed", "columns")} == {
        "source": "exports",
        "entity": "orders",
        "run_id": "run1",
        "rows": 2,
        "malformed": 1,
        "columns": ["order_id", "ordered_at", "customer_id"],
    }
    assert [(f["name"], f["rows"], f["malformed"]) for f in manifest["files"]] == [
        ("orders/a.csv", 1, 0),
        ("orders/b.csv", 1, 1),
    ]
