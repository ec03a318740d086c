"""What the shop's CRM and clickstream spoil, and when systems stop delivering: the ledger says it, and no more."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lib.base.errors import ConfigError, LakeError
from lib.lake import Lake
from lib.settings import load_settings
from lib.shop import SIZES, api, clickstream, crm, event_defects, ledger, open_shop, outages, record_defects
from lib.shop.defects import KINDS
from lib.shop.life import ShopLife, simulate_life
from lib.shop.opening import LEDGER, read_marker
from lib.shop.rates import Defects, defects_of
from lib.shop.systems import ONLY_DELIVERY, ShopFacts
from lib.shop.visits import TYPES
from tests.test_shop import contents

END = date(2026, 1, 20)
#: Often enough that a small shop has all, and no outage but where a test makes one.
OFTEN = Defects(scale=12, stale_source=0)
OFTEN_LATE = ONLY_DELIVERY.model_copy(update={"scale": 12})
SHOP = ShopFacts(SIZES["small"], 42, "EUR", "Europe/Berlin", OFTEN)
LAST = (END - SHOP.size.first_day).days


@pytest.fixture(scope="module", autouse=True)
def whole_files() -> Iterator[None]:
    """Let no file be faulty, so that each line can be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clickstream, "FAULTY", 1 << 70)
        yield


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(SHOP.size, SHOP.seed, END, SHOP.time_zone)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("spoiled") / "sources"
    open_shop(folder, size="small", as_of=END, defects=OFTEN)
    return folder


@pytest.fixture(scope="module")
def recorded(spoiled) -> pd.DataFrame:
    return ledger_of(spoiled)


def ledger_of(folder: Path) -> pd.DataFrame:
    """Return the ledger, each row once and in order; null is None."""
    rows = ledger.read(folder.parent / LEDGER)
    assert rows is not None
    frame = rows.to_pandas().astype(object)
    frame = frame.where(frame.notna(), None)
    return frame.sort_values(list(frame.columns), na_position="first", ignore_index=True)


def lines_of(folder: Path) -> pd.DataFrame:
    """Return all lines of the clickstream: id, event_type, event_at, product_id, hour of delivery, file, session."""
    rows = []
    for path in sorted((folder / "clickstream").rglob("*.json.gz")):
        hour = datetime(*map(int, path.parts[-5:-1]), tzinfo=UTC)
        for event in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()):
            product = event.get("product", {}).get("id")
            own = (event["event_id"], event.get("type"), event["event_at"][:19] + "Z", product)
            rows.append((*own, hour, path.name, event["session"]["hint"]))
    return pd.DataFrame(rows, columns=["id", "event_type", "event_at", "product_id", "hour", "file", "session"])


@pytest.fixture(scope="module")
def lines(spoiled) -> pd.DataFrame:
    return lines_of(spoiled)


@pytest.fixture(scope="module")
def unspoiled_lines(life, tmp_path_factory) -> pd.DataFrame:
    """Return the lines of the same sessions, as late and as often, of a tracker that works."""
    folder = tmp_path_factory.mktemp("unspoiled")
    clickstream.write(life, folder, replace(SHOP, defects=OFTEN_LATE), -1, LAST, lambda _: None)
    return lines_of(folder)


def records(folder: Path, entity: str) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(folder / "crm" / f"{entity}.parquet").to_pylist()
    found = {row[f"{entity[:-1]}_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_every_kind_strikes_and_only_what_differs_is_recorded(recorded):
    found = {(s, e): set(g["kind"]) for (s, e), g in recorded.groupby(["system", "entity"])}
    assert found["crm", "customers"] == set(record_defects.CUSTOMERS)
    assert found["crm", "products"] == set(record_defects.PRODUCTS)
    assert found["clickstream", "events"] == {*event_defects.KINDS, "volume_change"}
    mine = recorded[recorded["system"].isin(["crm", "clickstream"])]
    assert all(KINDS[row.kind].label == row.label for row in mine.itertuples())
    assert not (recorded["before"] == recorded["after"]).any()


# --- the CRM


@pytest.mark.parametrize("entity", ["customers", "products"])
def test_a_record_differs_from_what_it_should_be_where_the_ledger_says_so(spoiled, life, recorded, entity, tmp_path):
    crm.write(life, tmp_path, replace(SHOP, defects=Defects(enabled=False)), -1, LAST, lambda _: None)
    right, wrong = records(tmp_path, entity), records(spoiled, entity)
    mine = recorded[(recorded["system"] == "crm") & (recorded["entity"] == entity)]
    assert set(wrong) - set(right) == set(mine.loc[mine["field"] == "", "key"])
    said = {(r.key, r.field): set() for r in mine.itertuples() if r.field}
    for row in mine[mine["field"] != ""].itertuples():
        said[row.key, row.field].add((row.before, row.after))

    def written(value: Any) -> Any:
        return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value

    differences = {
        (key, field): (written(value), written(wrong[key][field]))
        for key, row in right.items()
        for field, value in row.items()
        if value != wrong[key][field]
    }
    assert set(differences) == set(said)
    assert all(pair in said[cell] for cell, pair in differences.items())
    assert (mine.loc[mine["field"] != "", "family"] == mine.loc[mine["field"] != "", "key"]).all()


def test_a_defect_outlives_the_changes_of_its_customer_and_each_value_is_recorded(life):
    long_ago = date(2021, 1, 1)
    size = replace(SHOP.size, live_from=long_ago, tracked_from=long_ago)
    everybody = replace(SHOP, size=size, defects=Defects(scale=20, whitespace=0.05))
    recorded: list[set[tuple[str, str, str | None]]] = []
    for day in (everybody.live_from, LAST):
        table, cells = record_defects.customers(life, everybody, crm.customers(life, day), day)
        rows = {row["customer_id"]: row for row in table.to_pylist()}
        recorded.append({(cell.key, cell.field, cell.after) for cell in cells})
        fields = {(key, field) for key, field, _ in recorded[-1]}
        assert {key for key, _ in fields} == set(rows)
        assert {(key, field, rows[key][field]) for key, field in fields} <= recorded[-1]
    assert recorded[0] < recorded[1]
    values = Counter((key, field) for key, field, _ in recorded[1])
    assert set(values.values()) >= {1, 2}


def test_who_is_there_twice_has_another_id_and_can_be_recognized_by_name_and_address_or_phone(spoiled, recorded):
    people = records(spoiled, "customers")
    doubles = recorded[recorded["kind"] == "double_customer"]
    assert len(doubles) > 5
    ways = set()
    for row in doubles.itertuples():
        second, first = people[row.key], people[row.after]
        assert (row.family, row.before) == (row.key, None)
        assert row.key == f"C9{int(row.after[1:]):06d}"
        changing = ("customer_id", "email", "signup_at", "updated_at")
        assert [second[f] for f in second if f not in changing] == [first[f] for f in first if f not in changing]
        assert timedelta(days=2) <= second["signup_at"] - first["signup_at"] <= timedelta(days=60)
        assert second["updated_at"] >= second["signup_at"]
        assert second["email"] != first["email"]
        ways.add(second["email"].lower() == first["email"])
        assert second["email"].lower().split("@")[0] == first["email"].split("@")[0]
    assert ways == {True, False}
    served = api.load(spoiled / "crm" / "customers.parquet", "customers", (0, 0, 0)).numbers.tolist()
    assert served == sorted(int(key[1:]) for key in people)


def test_a_double_is_there_from_the_day_of_its_own_sign_up(life):
    table, _ = record_defects.customers(life, SHOP, crm.customers(life, LAST), LAST)
    doubles = [row for row in table.to_pylist() if row["customer_id"].startswith("C9")]
    last = max(doubles, key=lambda row: row["signup_at"])
    day = int(np.searchsorted(life.timepiece.day_starts, last["signup_at"].timestamp(), side="right")) - 1
    for through, expected in ((day - 1, False), (day, True)):
        table, _ = record_defects.customers(life, SHOP, crm.customers(life, through), through)
        assert (last["customer_id"] in table["customer_id"].to_pylist()) == expected


# --- the clickstream


def test_an_event_differs_from_what_it_should_be_where_the_ledger_says_so(lines, unspoiled_lines, recorded):
    fields = ["event_type", "event_at", "product_id"]
    right = unspoiled_lines.drop_duplicates("id").set_index("id")[fields]
    # An event that comes again is right both times.
    wrong = lines.drop_duplicates(["id", *fields]).set_index("id")[fields]
    assert wrong.index.is_unique
    both = wrong.join(right.add_suffix("_right"), how="inner").astype(object)
    differences = {
        (row.Index, field, getattr(row, f"{field}_right"), getattr(row, field))
        for row in both.where(both.notna(), None).itertuples()
        for field in fields
        if getattr(row, field) != getattr(row, f"{field}_right")
    }
    cells = recorded[(recorded["entity"] == "events") & recorded["field"].isin(fields)]
    # Days that lose half of their events are lost in both.
    assert differences == set(cells[["key", "field", "before", "after"]].itertuples(index=False, name=None))
    assert {field for _, field, _, _ in differences} == set(fields)
    assert cells["after"][cells["field"] == "product_id"].str.fullmatch(r"P9\d{3}").all()
    years = pd.to_datetime(cells["after"][cells["field"] == "event_at"]).dt.year
    assert years.between(2045, 2087).all()


def test_what_is_delivered_twice_or_a_day_late_is_recorded_by_its_deliveries(lines, recorded):
    twice = Counter(lines["id"])
    again = recorded[recorded["kind"] == "duplicated_event"]
    assert {i for i, n in twice.items() if n == 2} == set(again["key"])
    assert max(twice.values()) == 2
    assert set(zip(again["before"], again["after"], strict=True)) == {("1", "2")}
    is_astray = lines["file"].str[7:9].astype(int) >= clickstream.ASTRAY_FROM
    assert is_astray.any()
    late = lines[(lines["hour"] - pd.to_datetime(lines["event_at"]) > pd.Timedelta(hours=24)) & ~is_astray]
    hours = late["hour"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    expected = set(zip(late["id"], late["event_at"], hours, strict=True))
    cells = recorded[recorded["kind"] == "late_event"]
    assert set(cells[["key", "before", "after"]].itertuples(index=False, name=None)) == expected


def test_a_day_is_halved_or_doubled_where_the_ledger_says_so_and_keeps_its_purchases(lines, unspoiled_lines, recorded):
    def by_day(found: pd.DataFrame) -> pd.Series:
        days = pd.to_datetime(found["id"].str[:8]).dt.strftime("%Y-%m-%d")
        return found.drop_duplicates("id").groupby(days).size()[lambda counts: counts.index < END.isoformat()]

    right, wrong = by_day(unspoiled_lines), by_day(lines)
    volumes = recorded[recorded["kind"] == "volume_change"].set_index("key")
    assert set(right.index[right != wrong]) == set(volumes.index)
    before, after = (volumes[c].astype(int) for c in ("before", "after"))
    assert (wrong - right)[volumes.index].tolist() == (after - before).tolist()
    factor = after / before
    assert (factor == 2).sum() > 2
    halved = factor[factor != 2]
    assert len(halved) > 2
    assert halved.between(0.35, 0.65).all()
    assert min(volumes.index) >= SHOP.date(SHOP.tracked_from + event_defects.QUIET_DAYS).isoformat()

    def buyers(found: pd.DataFrame, of: pd.DataFrame) -> set[str]:
        return set(of.loc[of["event_type"] == "purchase", "session"]) & set(found["session"])

    assert buyers(lines, unspoiled_lines) == buyers(unspoiled_lines, unspoiled_lines)


# --- outages


def test_outages_are_rare_last_some_days_and_spare_a_systems_first_weeks():
    often = replace(SHOP, defects=Defects(stale_source=0.1))
    far = 12_000
    for system in outages.SYSTEMS:
        found = list(outages.outages(often, system, far))
        start = SHOP.tracked_from if system == "clickstream" else SHOP.live_from
        assert found[0][0] >= start + outages.QUIET_DAYS
        assert 0.07 < len(found) / ((far - start) / 7) < 0.13
        assert {last - first + 1 for first, last in found} == set(range(4, 11))
        assert len({first // 7 for first, _ in found}) == len(found)
        assert list(outages.outages(often, system, far - 999)) == [o for o in found if o[0] <= far - 999]
    assert list(outages.outages(replace(SHOP, defects=ONLY_DELIVERY), "stores", far)) == []


def test_within_overlapping_outages_the_day_before_the_first_is_shown(monkeypatch):
    monkeypatch.setattr(outages, "outages", lambda *_: iter([(10, 14), (13, 16), (17, 20), (25, 28)]))
    shown = [outages.shown(SHOP, "stores", day) for day in (9, 10, 14, 15, 18, 20, 21, 24, 25)]
    assert shown == [9, 9, 9, 9, 9, 9, 21, 24, 24]
    assert outages.shown(SHOP, "crm", 12) == 12


def test_days_an_outage_and_a_kill_end_where_one_step_ends(spoiled, recorded, tmp_path, monkeypatch):
    folder, silent = tmp_path / "sources", LAST - 8
    monkeypatch.setattr(outages, "outages", lambda *_: iter([(silent, silent + 4)]))

    def opened(days_later: int) -> pd.DataFrame:
        summary = open_shop(folder, size="small", as_of=SHOP.date(silent + days_later), defects=OFTEN)
        return summary.set_index(["system", "entity"])["last_date"]

    def stale() -> list[tuple[str, str, str]]:
        found = ledger_of(folder).query("kind == 'stale_source'")
        return list(found[["key", "before", "after"]].itertuples(index=False, name=None))

    opened(-1)
    before = contents(folder)
    assert outages.stale(SHOP, silent + 1).num_rows == 0
    noted = ledger.note

    def dying(place: Path, system: str, *rest: Any) -> None:
        noted(place, system, *rest)
        if system == "stores" or system == "marketplace":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ledger, "note", dying)
        opened(2)
    assert opened(3)["marketplace", "orders"].date() == SHOP.date(silent - 1)
    during = contents(folder)
    for system in outages.SYSTEMS:
        assert {k: v for k, v in during.items() if k.startswith(system)} == {
            k: v for k, v in before.items() if k.startswith(system)
        }
    assert during["crm/customers.parquet"] != before["crm/customers.parquet"]
    due, last = SHOP.date(silent + 3).isoformat(), SHOP.date(silent - 1).isoformat()
    assert stale() == [(system, due, last) for system in ("clickstream", "marketplace")]
    opened(8)
    assert contents(folder) == contents(spoiled)
    pd.testing.assert_frame_equal(ledger_of(folder), recorded)


# --- with others, and without


def test_without_defects_nothing_is_late_or_twice_and_no_ledger_is_kept(tmp_path):
    folder = tmp_path / "sources"
    left_over = ledger.SCHEMA.empty_table()
    ledger.note(tmp_path / LEDGER, "crm", -1, 5, left_over)
    open_shop(folder, size="small", defects=Defects(enabled=False))
    assert ledger.read(tmp_path / LEDGER) is None
    lines = lines_of(folder)
    assert lines["id"].is_unique
    assert (lines["hour"] <= pd.to_datetime(lines["event_at"])).all()
    assert set(lines["event_type"]) == set(TYPES)


def test_a_folder_of_other_defects_or_an_older_generator_is_refused_with_advice(spoiled, tmp_path):
    for other, message in ((OFTEN_LATE, "other defects"), (Defects(enabled=False), "no defects")):
        with pytest.raises(ConfigError, match=f"with defects, and {message} were asked for. Set simulation.defects"):
            open_shop(spoiled, size="small", defects=other)
    marker = read_marker(spoiled)
    assert marker
    old = {"generator": 2, "size": "small", "seed": 42, "currency": "EUR", "time_zone": "Europe/Berlin"}
    (tmp_path / "shop.json").write_text(json.dumps(old | {"as_of": "2025-12-31", "complete": "2025-12-31"}))
    with pytest.raises(ConfigError, match=r"version 2 of the generator.*remove this one and the lake and warehouse"):
        open_shop(tmp_path, size="small")


def test_a_lake_of_a_shop_with_defects_refuses_one_with_others(tmp_path):
    def identity(defects: str) -> dict[str, Any]:
        (tmp_path / "sources").mkdir(exist_ok=True)
        marker = {"identity": {"generator": 3, "size": "small", "seed": 42, "defects": defects}}
        (tmp_path / "sources" / "shop.json").write_text(json.dumps(marker))
        return load_settings(size="small", data_dir=tmp_path).identity

    lake = Lake(str(tmp_path / "lake"))
    lake.claim(identity("abc"))
    lake.claim(identity("abc"))
    with pytest.raises(LakeError, match=r"defects abc\).*defects none\).*name another folder"):
        lake.claim(identity(""))


def test_a_rate_that_is_misspelt_is_named_with_its_key():
    with pytest.raises(
        ConfigError, match=r"pipeline.yml: unknown key 'simulation.defects.whitspace'. Did you mean 'whi"
    ):
        defects_of({"whitspace": 0.1})
    with pytest.raises(ConfigError, match=r"simulation.defects.orphan: .*less than or equal to 0.5 \(found 3\)"):
        defects_of({"orphan": 3})


def test_a_marker_written_before_it_stated_an_identity_gets_one(tmp_path):
    open_shop(tmp_path / "sources", size="small", defects=Defects(enabled=False))
    marker = tmp_path / "sources" / "shop.json"
    stated = json.loads(marker.read_text())
    identity = stated.pop("identity")
    marker.write_text(json.dumps(stated))
    open_shop(tmp_path / "sources", size="small", defects=Defects(enabled=False))
    assert (
        json.loads(marker.read_text())["identity"]
        == identity
        == {"size": "small", "seed": 42, "generator": 3, "defects": ""}
    )
