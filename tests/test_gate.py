"""The gate and failing sources on whole runs: exit codes, what stays published, what the report says."""

import json
from pathlib import Path

import pytest

from tests.conftest import Shop
from tests.corner_shop import BAD, SOURCES, sold

GOOD = sold(0, 40)


@pytest.fixture(scope="module")
def shop(shop_at) -> Shop:
    """A shop whose first export has been published."""
    shop = shop_at("gate")
    exports = shop.root / "exports"
    exports.mkdir()
    (exports / "1.csv").write_text(GOOD)
    (shop.root / "corner.yml").write_text(SOURCES % (97, exports))
    done = run(shop, "--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    return shop


def run(shop: Shop, *arguments: str):
    return shop.run("--sources", str(shop.root / "corner.yml"), *arguments)


def last_run(shop: Shop) -> tuple[Path, dict]:
    folder = max((shop.outputs / "runs").iterdir())
    return folder, json.loads((folder / "run.json").read_text())


def sales(shop: Shop) -> tuple:
    """Return how many orders are published, and of how many products named Ink: the bad file names none."""
    sql = "select count(distinct order_id), count(distinct product_key) filter (where name = 'Ink')"
    return shop.ask(f"{sql} from warehouse.fact_order_items left join warehouse.dim_products using (product_key)")[0]


def test_a_refused_run_ends_with_3_keeps_what_is_published_and_says_why(shop):
    (shop.root / "exports" / "2.csv").write_text(BAD)
    refused = run(shop)
    folder, manifest = last_run(shop)
    assert refused.returncode == 3 and "Not published" in refused.stdout
    assert manifest["state"] == "refused" and "below the 97 that pipeline.yml asks for" in manifest["reason"]
    assert manifest["quality"]["gate"]["passed"] is False
    assert [s["state"] for s in manifest["stages"]] == ["ok"] * 5 + ["skipped"]
    assert "Not to be published" in (folder / "reports" / "05_quality.html").read_text()
    assert sales(shop) == (40, 0)
    assert (shop.outputs / "latest").resolve() != folder


def test_no_gate_publishes_what_a_refused_run_left_and_marks_the_run_everywhere(shop):
    done = run(shop, "--from", "05_quality", "--to", "05_quality", "--no-gate")
    folder, manifest = last_run(shop)
    assert done.returncode == 0 and "in spite of the quality gate" in done.stdout, done.stdout + done.stderr
    assert sales(shop) == (440, 0)
    gate = manifest["quality"]["gate"]
    assert (manifest["state"], gate["passed"], gate["overridden"]) == ("published", False, True)
    assert "below the 97" in gate["reasons"][0] and "published with --no-gate: the overall score" in manifest["reason"]
    assert shop.ask("select gate from ops.runs order by published_at") == [("passed",), ("overridden",)]
    assert "gate overridden" in shop.run("runs", "-n", "1").stdout
    for page in (folder / "index.html", shop.outputs / "index.html"):
        assert page.read_text().count("gate overridden</span>") == 1, page


def test_a_corrected_file_replaces_the_refused_one_and_publishes(shop):
    (shop.root / "exports" / "2.csv").write_text(BAD.replace(",,2,0,", ",Ink,2,3.10,c1"))
    done = run(shop, "--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sales(shop) == (440, 400)


def test_a_source_that_is_gone_fails_the_ingest_with_its_place_and_what_to_do(shop):
    (shop.root / "exports").rename(shop.root / "elsewhere")
    try:
        failed = run(shop)
    finally:
        (shop.root / "elsewhere").rename(shop.root / "exports")
    _, manifest = last_run(shop)
    assert failed.returncode == 1 and manifest["stages"][1]["state"] == "failed"
    assert f"No folder or file {shop.root / 'exports'}" in failed.stdout and "Traceback" not in failed.stdout
    assert sales(shop) == (440, 400)


def test_another_shop_is_not_mixed_into_the_same_folder(shop):
    other = shop.root / "other.yml"
    other.write_text((shop.root / "corner.yml").read_text().replace("Corner shop", "Other shop"))
    data = next((shop.data / "shops").iterdir())
    refused = shop.run("--sources", str(other), "--data-dir", str(data))
    assert refused.returncode == 1 and "Two shops are never mixed" in refused.stdout
    assert sales(shop) == (440, 400)
