"""The comparison with the ledger: what counts as planted, found, right and repaired, and that nothing else needs it."""

import ast
import json
import shutil
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa
import pytest

from lib.clean import load
from lib.clean.rules import RULES
from lib.ingest.run import ingest
from lib.model import dbt
from lib.quality.audit import audit
from lib.quality.scorecard import FOUND_BY, Scorecard, compare
from lib.settings import Settings, load_settings
from lib.shop import ledger, open_shop
from lib.shop.defects import KINDS
from lib.shop.rates import Defects
from lib.warehouse import Warehouse, open_warehouse
from tests.conftest import PROJECT
from tests.small_shop import SmallShop, assert_same_tables, contents

FOUND = ["rule", "source", "entity", "key", "family", "field", "outcome", "before", "after"]


@dataclass
class Compared:
    """A warehouse that holds nothing but findings, beside a ledger."""

    settings: Settings
    warehouse: Warehouse

    def __call__(self, planted: list[tuple], found: list[tuple], flagged: list[tuple] = ()) -> Scorecard | None:
        """Compare rows of the ledger (as its SCHEMA) with findings (as FOUND) and flags (rule to family)."""
        rows = pa.Table.from_pylist([dict(zip(ledger.SCHEMA.names, r, strict=True)) for r in planted], ledger.SCHEMA)
        ledger.note(self.settings.data_dir / "ledger", "all", -1, 0, rows)
        frame = pd.DataFrame(found, columns=FOUND).assign(source_file="f.csv", source_row=range(len(found)))
        with self.warehouse.connect(read_only=False) as connection:
            columns = ", ".join(f"{c} varchar" for c in [*FOUND, "source_file"])
            connection.execute(f"create or replace table quality.record_findings ({columns}, source_row bigint)")
        self.warehouse.replace("quality.record_findings", frame)
        names = ["rule", "entity", "source", "key", "family"]
        flags = pd.DataFrame(flagged, columns=names).assign(check_name="c", field=None, value=None)
        self.warehouse.replace("quality.flags", flags)
        return compare(self.settings, self.warehouse)


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Compared:
    settings = SmallShop(tmp_path_factory.mktemp("scorecard")).settings
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    return Compared(settings, warehouse)


def kind(card: Scorecard, name: str) -> dict:
    return card.kinds.set_index("kind").loc[name].to_dict()


def spoiled(entity: str, key: str, field: str, kind: str, before: str | None, after: str | None, **other) -> tuple:
    """Return a row of the ledger, of the system `web`."""
    row = {"system": "web", "family": key.split("|")[0], "label": KINDS[kind].label} | other
    return (row["system"], entity, key, row["family"], field, kind, row["label"], before, after)


def finding(
    rule: str, entity: str, key: str | None, field: str, outcome: str, before: str | None, after: str | None, **other
) -> tuple:
    """Return a row of quality.record_findings, of the source `web`."""
    row = {"source": "web", "family": (key or "").split("|")[0] or None} | other
    return (rule, row["source"], entity, key, row["family"], field, outcome, before, after)


def test_every_kind_of_defect_is_found_by_rules_that_exist_and_count_as_faults():
    assert list(FOUND_BY) == list(KINDS)
    for name, rules in FOUND_BY.items():
        assert rules and all(RULES[rule].is_fault for rule in rules), name


def test_without_a_ledger_or_with_nothing_spoiled_there_is_no_comparison(compared):
    assert compared([], []) is None
    shutil.rmtree(compared.settings.data_dir / "ledger")
    assert compare(compared.settings, compared.warehouse) is None


def test_a_defect_is_found_on_its_record_or_on_another_of_its_family(compared):
    card = compared(
        [
            spoiled("orders", "W-1", "total_amount", "total_mismatch", "10.00", "13.00"),
            spoiled("orders", "W-2", "total_amount", "total_mismatch", "10.00", "13.00"),
            spoiled("order_items", "W-3|1", "quantity", "wrong_sign", "3", "-3"),
            spoiled("customers", "C-9", "email", "invalid_email", "a@b.de", "a(at)b.de"),
            spoiled("customers", "C-8", "country", "missing_value", "DE", None),
        ],
        [
            # Another system's row of the same order; and one that happens to have the customer's id.
            finding("wrong_sign", "orders", "W-3", "total_amount", "repaired", "1", "2", source="history"),
            finding("invalid_email", "products", "C-9", "name", "emptied", "x", None),
        ],
        [("order_total", "orders", "web", "W-1", "W-1"), ("payment_total", "orders", "web", "W-2", "W-2")],
    )
    found = card.kinds.set_index("kind")[["planted", "found", "recall"]]
    assert found.loc["total_mismatch"].tolist() == [2, 1, 0.5], "a finding by another kind's rule does not find it"
    assert found.loc["wrong_sign"].tolist() == [1, 1, 1.0]
    assert found.loc["invalid_email"].tolist() == [1, 0, 0.0], "an id of another entity is another family"
    assert card.missed["key"].tolist() == ["C-9", "C-8", "W-2"]
    assert card.summary["planted"] == 5 and card.summary["recall"] == pytest.approx(2 / 5)
    assert card.summary["recall_repairable"] == 1 and card.summary["recall_rejectable"] == pytest.approx(1 / 4)


def test_a_finding_is_right_where_the_ledger_names_its_record_or_family_by_whatever_kind(compared):
    card = compared(
        [spoiled("order_items", "W-1|1", "unit_price", "wrong_unit", "5.00", "500.00")],
        [
            finding("wrong_unit", "order_items", "W-1|1", "unit_price", "repaired", "500.00", "5.00"),
            finding("wrong_unit", "order_items", "W-1|1", "discount_amount", "repaired", "9.00", "1.00"),
            finding("whitespace", "orders", "W-1", "status", "repaired", " paid", "paid"),
            finding("whitespace", "customers", "C-1", "city", "repaired", " Ulm", "Ulm"),
            finding("whitespace", "customers", None, "city", "repaired", " Ulm", "Ulm"),
            finding("whitespace", "customers", None, "city", "repaired", " Ulm", "Ulm"),
            finding("delivered_again", "orders", "W-5", "", "merged", None, None),
            finding("malformed_line", "orders", None, "", "rejected", "x", None),
        ],
    )
    assert card.summary["findings"] == 5, "a record and a rule count once, a row without a key by its place"
    assert card.summary["precision"] == pytest.approx(2 / 5)
    assert card.summary["other_findings"] == 1, "a rule that says nothing against the row is no finding"
    assert (kind(card, "wrong_unit")["flagged"], kind(card, "wrong_unit")["precision"]) == (1, 1)
    assert (kind(card, "whitespace")["flagged"], kind(card, "whitespace")["right"]) == (4, 1)
    assert set(card.wrong["rule"]) == {"whitespace", "malformed_line"} and "C-1" in set(card.wrong["key"])


def test_anomalies_are_judged_apart_and_debatable_defects_not_at_all(compared):
    card = compared(
        [
            spoiled("events", "2025-11-03", "volume", "volume_change", "400", "200", system="clickstream"),
            spoiled("", "stores", "", "stale_source", "2025-12-31", "2025-12-20", system="stores"),
            spoiled("payments", "PAY1", "amount", "price_spike", "10.00", "500.00", family="W-1"),
            spoiled("orders", "W-2", "ordered_at", "ambiguous_date", "2025-02-03T00:00:00Z", "02/03/2025"),
            spoiled("customers", "C-1", "city", "letter_case", "Ulm", "ULM", label="debatable"),
        ],
        [
            finding("ambiguous_date", "orders", "W-2", "ordered_at", "emptied", "02/03/2025", None),
            finding("letter_case", "customers", "C-1", "city", "repaired", "ULM", "Ulm"),
        ],
        [
            ("unusual_volume", "events", "clickstream", "2025-11-03", "2025-11-03"),
            ("unusual_volume", "events", "clickstream", "2025-11-04", "2025-11-04"),
            ("stale_source", "", "stores", "stores", "stores"),
            ("amount_outlier", "orders", "web", "W-1", "W-1"),
        ],
    )
    summary = card.summary
    assert (summary["anomalies"], summary["anomaly_recall"]) == (3, 1)
    assert (summary["anomaly_findings"], summary["anomaly_precision"]) == (4, 0.75)
    assert (summary["planted"], summary["recall"], summary["debatable"]) == (0, None, 2)
    assert (summary["findings"], summary["precision"]) == (1, 1), "what is found on a debatable defect is not wrong"
    assert (kind(card, "ambiguous_date")["planted"], kind(card, "letter_case")["planted"]) == (1, 0)
    assert card.missed.empty


def test_a_repair_is_right_where_the_cell_holds_what_it_held_before(compared):
    card = compared(
        [
            spoiled("orders", "W-1", "total_amount", "number_text", "1234.50", "€ 1,234.50"),
            spoiled("order_items", "W-2|1", "quantity", "wrong_sign", "3", "-3"),
            spoiled("orders", "W-3", "ordered_at", "date_format", "2025-03-04T10:11:12Z", "4 Mar 2025 11:11:12"),
            spoiled("customers", "C-1", "postal_code", "whitespace", "01067", "01067 "),
            spoiled("customers", "C-2", "city", "mojibake", "Köln", "KÃ¶ln"),
            spoiled("customers", "C-3", "city", "whitespace", "Ulm", " Ulm"),
            spoiled("customers", "C-3", "city", "whitespace", "Bonn", " Bonn"),
            spoiled("order_items", "W-4|1", "unit_price", "zeroed", "5.00", "0.00"),
            spoiled("order_items", "W-5|1", "unit_price", "zeroed", "5.00", "0.00"),
            spoiled("customers", "C-4", "email", "invalid_email", "a@b.de", "a"),
        ],
        [
            finding("number_text", "orders", "W-1", "total_amount", "repaired", "€ 1,234.50", "1234.5"),
            # The text became a number by a row rule, and then the right one by a set rule.
            finding("number_text", "order_items", "W-2|1", "quantity", "repaired", "-3", "-3"),
            finding("wrong_sign", "order_items", "W-2|1", "quantity", "repaired", "-3", "3.000"),
            finding("date_format", "orders", "W-3", "ordered_at", "repaired", "4 Mar 2025", "2025-03-04 10:11:12"),
            finding("whitespace", "customers", "C-1", "postal_code", "repaired", "01067 ", "1067"),
            finding("encoding", "customers", "C-2", "city", "repaired", "KÃ¶ln", "Köln"),
            finding("whitespace", "customers", "C-3", "city", "repaired", " Ulm", "Ulm"),
            finding("whitespace", "customers", "C-3", "city", "repaired", " Bonn", "Bonn"),
            finding("zeroed", "order_items", "W-4|2", "unit_price", "repaired", "1.00", "5.00", family="W-4"),
            finding("invalid_email", "customers", "C-4", "email", "emptied", "a", None),
        ],
    )
    rights = card.kinds.set_index("kind")[["repaired", "repaired_right"]]
    assert rights.loc["number_text"].tolist() == [1, 1] and rights.loc["wrong_sign"].tolist() == [1, 1]
    assert rights.loc["date_format"].tolist() == [1, 1] and rights.loc["mojibake"].tolist() == [1, 1]
    assert rights.loc["whitespace"].tolist() == [2, 1], "a text is not a number; each version of a cell may be right"
    assert rights.loc["zeroed"].tolist() == [1, 0], "found and not repaired is wrong, not found is not judged"
    assert rights.loc["invalid_email"].tolist() == [0, 0], "what cannot be repaired is not expected to be"
    assert card.summary["repair_accuracy"] == pytest.approx(5 / 7)
    assert dict(card.misrepaired[["key", "repaired_to"]].values)["C-1"] == "1067"


def test_a_duplicate_is_right_where_it_was_merged(compared):
    card = compared(
        [
            spoiled("orders", "W-1", "", "exact_duplicate", None, "second row"),
            spoiled("orders", "W-2", "status", "near_duplicate", "paid", "PAID"),
            spoiled("events", "E-1", "", "duplicated_event", None, "2"),
        ],
        [
            finding("exact_duplicate", "orders", "W-1", "", "merged", None, None),
            finding("exact_duplicate", "payments", "PAY2", "", "merged", None, None, family="W-2"),
            finding("repeated_event", "events", "E-1", "", "merged", None, None),
        ],
    )
    assert kind(card, "exact_duplicate")["accuracy"] == kind(card, "duplicated_event")["accuracy"] == 1
    assert (kind(card, "near_duplicate")["recall"], kind(card, "near_duplicate")["accuracy"]) == (1, 0)


def test_nothing_but_the_comparison_reads_the_ledger(tmp_path):
    settings = load_settings(size="small", data_dir=tmp_path, output_dir=tmp_path / "outputs")
    marketplace = {"marketplace": settings.config.sources["marketplace"]}
    settings = replace(settings, config=settings.config.model_copy(update={"sources": marketplace}))
    open_shop(tmp_path / "sources", size="small", seed=settings.seed, defects=Defects(scale=10))
    # Whoever looks into the ledger now fails.
    shutil.copytree(tmp_path / "ledger", tmp_path / "readable")
    for part in (tmp_path / "ledger").rglob("*.parquet"):
        part.write_text("no ledger")
    ingest(settings, "run1").raise_failures()
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    load.load_stage(settings, warehouse, "run1")
    dbt.build_models(settings, warehouse, "staging", "clean", "quality", "warehouse", "analytics")
    audit(settings, warehouse, "run1")
    with pytest.raises(pa.ArrowInvalid):
        compare(settings, warehouse)

    shutil.rmtree(tmp_path / "ledger")
    tables = contents(warehouse, ["quality"])
    assert compare(settings, warehouse) is None
    (tmp_path / "readable").rename(tmp_path / "ledger")
    card = compare(settings, warehouse)
    assert card is not None and card.summary["found"] > 0
    assert_same_tables(tables, contents(warehouse, ["quality"]))


def test_only_the_comparison_and_the_shop_itself_know_the_ledger():
    knowing = set()
    notebooks = {
        p: "\n".join("".join(c["source"]) for c in json.loads(p.read_text())["cells"] if c["cell_type"] == "code")
        for p in (PROJECT / "notebooks").glob("*.ipynb")
    }
    modules = {p: p.read_text() for p in [*(PROJECT / "lib").rglob("*.py"), PROJECT / "run_pipeline.py"]}
    for path, code in (notebooks | modules).items():
        for node in ast.walk(ast.parse(code)):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            names = [module + a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if any(name.startswith("lib.shop.") and "ledger" in name.lower() for name in names):
                knowing.add(path.relative_to(PROJECT).as_posix())
    assert {p for p in knowing if not p.startswith("lib/shop/")} == {"lib/quality/scorecard.py"}
