"""`make bench-quality`: how good the checks are, on simulated shops of several seeds and rates of defects.

Each shop is simulated, ingested, cleaned, modelled, checked and compared with its ledger, in this process and without
notebooks. What the figures mean is in docs/quality.md. Nothing is asserted here: the exit code is 0 whatever they are.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.clean import load
from lib.ingest.run import ingest
from lib.model import dbt
from lib.quality.audit import audit
from lib.quality.scorecard import Scorecard, compare
from lib.settings import Settings, load_settings
from lib.shop import simulate
from lib.shop.rates import defects_of
from lib.warehouse import Warehouse, open_warehouse

#: A repairable or rejectable kind below this is named; an anomaly below the others.
LEAST = {"recall": 0.95, "precision": 0.95, "accuracy": 0.95}
LEAST_OF_ANOMALIES = {"recall": 0.9, "precision": 0.8}
#: Records with a finding of any rule: what is found in a shop where nothing is spoiled.
_FOUND = """
select rule, source, entity, coalesce(key, source_file || '#' || cast(source_row as varchar)) as key
from quality.record_findings
union
select rule, source, entity, key from quality.flags
"""


@dataclass(frozen=True)
class Measured:
    """What was seen of one shop: its comparison (none where nothing was spoiled), rows, findings, and seconds."""

    label: str
    card: Scorecard | None
    rows: int
    found: pd.DataFrame
    seconds: float
    quality_seconds: float

    @property
    def share(self) -> float:
        """The share of rows that have a finding."""
        return len(self.found.drop_duplicates(["source", "entity", "key"])) / max(self.rows, 1)


def measure(size: str, seed: int, scale: float, folder: Path) -> Measured:
    """Return what is seen of one shop, made below a folder."""
    label = f"seed {seed}, {f'rates x {scale:g}' if scale else 'nothing spoiled'}"
    started = time.monotonic()
    settings = load_settings(size=size, seed=seed, data_dir=folder, output_dir=folder / "outputs", target="duckdb")
    warehouse = build(settings, scale, label)
    built = time.monotonic()
    progress(f"{label}: checking")
    audit(settings, warehouse, "run1")
    card = compare(settings, warehouse)
    ended = time.monotonic()
    rows = int(warehouse.query("select sum(staged_rows) as rows from quality.row_accounting")["rows"][0])
    progress("")
    return Measured(label, card, rows, warehouse.query(_FOUND), ended - started, ended - built)


def build(settings: Settings, scale: float, label: str) -> Warehouse:
    """Simulate a shop, take it in and build its warehouse."""
    progress(f"{label}: simulating")
    defects = defects_of(settings.config.simulation.defects)
    simulate(settings, defects=defects.model_copy(update={"enabled": scale > 0, "scale": scale}))
    progress(f"{label}: taking in")
    ingest(settings, "run1").raise_failures()
    progress(f"{label}: cleaning")
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    load.load_stage(settings, warehouse, "run1")
    dbt.build_models(settings, warehouse, "staging", "clean", "quality")
    progress(f"{label}: modelling")
    dbt.build_models(settings, warehouse, "warehouse", "analytics")
    return warehouse


def print_one(seen: Measured) -> None:
    """Print what was seen of one shop."""
    took = f"quality {seen.quality_seconds:.1f} s of {seen.seconds:.0f} s"
    if seen.card is None:
        print(f"{seen.label}: findings on {seen.share:.4%} of {seen.rows:,} rows; {took}", flush=True)
        for rule, count in seen.found["rule"].value_counts().items():
            print(f"    {rule} {count:,}")
        return
    of = seen.card.summary
    print(
        f"{seen.label}: recall {_share(of['recall'])}, precision {_share(of['precision'])}, repairs"
        f" {_share(of['repair_accuracy'])}; anomalies: recall {_share(of['anomaly_recall'])}, precision"
        f" {_share(of['anomaly_precision'])}; planted {of['planted']:,} + {of['anomalies']:,}, findings on"
        f" {seen.share:.2%} of {seen.rows:,} rows, {of['other_findings']:,} by other rules; {took}",
        flush=True,
    )
    print_weak(seen.card.kinds)


def print_all(seen: Sequence[Measured]) -> None:
    """Print the figures over several shops: of all their defects and findings together."""
    cards = [one.card for one in seen if one.card is not None]
    if len(cards) > 1:
        whole = pd.DataFrame([card.summary for card in cards]).astype(float).fillna(0)
        kinds = pd.concat([card.kinds for card in cards])

        def pooled(share: str, of: str) -> str:
            return _share((whole[share] * whole[of]).sum() / whole[of].sum() if whole[of].sum() else None)

        repaired = kinds["repaired_right"].sum() / max(kinds["repaired"].sum(), 1)
        print(
            f"over {len(cards)} shops: recall {pooled('recall', 'planted')}, precision"
            f" {pooled('precision', 'findings')}, repairs {_share(repaired)}; anomalies: recall"
            f" {pooled('anomaly_recall', 'anomalies')}, precision {pooled('anomaly_precision', 'anomaly_findings')}",
            flush=True,
        )
        sums = kinds.groupby(["kind", "label"], sort=False, as_index=False).sum(numeric_only=True)
        sums["recall"] = sums["found"] / sums["planted"]
        sums["precision"] = sums["right"] / sums["flagged"]
        sums["accuracy"] = sums["repaired_right"] / sums["repaired"]
        print_weak(sums)
    untouched = [one for one in seen if one.card is None]
    if len(untouched) > 1:
        share = sum(one.share * one.rows for one in untouched) / sum(one.rows for one in untouched)
        print(f"over {len(untouched)} shops with nothing spoiled: findings on {share:.4%} of the rows", flush=True)


def print_weak(kinds: pd.DataFrame) -> None:
    """Print the kinds of which a share is below what is asked for, and what it is."""
    parts = {
        "recall": ("found", "planted"),
        "precision": ("right", "flagged"),
        "accuracy": ("repaired_right", "repaired"),
    }
    for kind in kinds.to_dict("records"):
        least = {"anomaly": LEAST_OF_ANOMALIES, "debatable": {}}.get(kind["label"], LEAST)
        weak = [
            f"{share} {kind[share]:.3f} ({kind[parts[share][0]]:,} of {kind[parts[share][1]]:,})"
            for share, limit in least.items()
            if kind[share] < limit
        ]
        if weak:
            print(f"    {kind['kind']}: {', '.join(weak)}")


def print_examples(seen: Measured) -> None:
    """Print all kinds, and examples of what was missed, wrongly found and wrongly repaired."""
    if seen.card is None:
        print(seen.found.groupby("rule").head(20).sort_values("rule").to_string(index=False))
        return
    card = seen.card
    with pd.option_context("display.width", 240, "display.max_rows", None, "display.max_columns", None):
        print(card.kinds.drop(columns="description").to_string(index=False, float_format="{:.3f}".format))
        for title, frame in {"missed": card.missed, "wrong": card.wrong, "misrepaired": card.misrepaired}.items():
            print(f"\n{title}: {'none' if frame.empty else ''}")
            if len(frame):
                print(frame.to_string(index=False, max_colwidth=40))


def progress(text: str) -> None:
    """Show what is being done on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _share(value: float | None) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.4f}"


def main() -> None:
    """Measure the shops that the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench-quality", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=1, help="how many shops, with seeds 42, 43, ...")
    parser.add_argument("--first", type=int, default=42, help="the first seed")
    parser.add_argument("--size", choices=("small", "default", "large"), default="default")
    parser.add_argument(
        "--scales", default="1", help="multiples of the rates in pipeline.yml, such as 1,10,0; 0: nothing is spoiled"
    )
    parser.add_argument("--show", action="store_true", help="all kinds, and what was missed or wrong, for each shop")
    chosen = parser.parse_args()
    for scale in (float(s) for s in chosen.scales.split(",")):
        seen = []
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            with tempfile.TemporaryDirectory(prefix="bench-quality-") as folder:
                seen.append(measure(chosen.size, seed, scale, Path(folder)))
            print_one(seen[-1])
            if chosen.show:
                print_examples(seen[-1])
        print_all(seen)


if __name__ == "__main__":
    main()
