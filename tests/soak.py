"""`make soak`: long campaigns that `make test` has no time for.

- Thirty single-day runs of a small shop for each seed, held against one run to the same date and a full refresh.
- An ingest killed at every one of its writes, and repeated.
- A thousand exports made by chance: each comes out right or is refused.
- Runs killed, and cut off from their server, in every stage: all cases of tests that `make test` runs some of.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path

from lib.shop import LAST_DAY, open_shop
from tests.days import DailyShop, differences, rows_of
from tests.generated_exports import fault
from tests.killing import campaign


def single_days(seed: int, days: int) -> list[str]:
    """Return what differs after so many single-day runs from one run, and from a full refresh."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        shop = DailyShop(Path(folder) / "days", seed)
        for number in range(days + 1):
            shop.run(LAST_DAY + timedelta(days=number))
        day_by_day = rows_of(shop.build())
        at_once = DailyShop(Path(folder) / "once", seed).run(LAST_DAY + timedelta(days=days))
        faults = [f"one run: {line}" for line in differences(day_by_day, rows_of(at_once))]
        refreshed = shop.build(full_refresh=True)
        return faults + [f"full refresh: {line}" for line in differences(day_by_day, rows_of(refreshed))]


def kills(every: int) -> list[str]:
    """Return what differs after an ingest that was killed and repeated."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        open_shop(Path(folder) / "sources", size="small")
        tried, faults = campaign(Path(folder), every)
        print(f"  {tried} points of death", flush=True)
        return faults


def exports(count: int) -> list[str]:
    """Return which of so many exports made by chance come out wrong."""
    wrong = []
    # New processes for each two hundred, as dbt keeps memory; a pool that replaces its own (max_tasks_per_child) can
    # wait for ever: https://github.com/python/cpython/issues/115634
    for start in range(0, count, 200):
        numbers = range(start, min(start + 200, count))
        with ProcessPoolExecutor(max_workers=2) as pool:
            wrong += [found for found in pool.map(fault, numbers) if found]
        print(f"  {numbers.stop:,} exports, {len(wrong)} wrong", flush=True)
    return wrong


def every_case() -> list[str]:
    """Return which tests fail of the files that leave some of their cases to this campaign."""
    files = sorted(str(p) for p in Path(__file__).parent.glob("test_*.py") if "soak" in p.read_text(encoding="utf-8"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "", *files], capture_output=True, text=True)
    return [] if done.returncode == 0 else done.stdout.splitlines()[-20:]


def main() -> None:
    """Run the campaigns that the command line asks for; exit code 1 where one found something."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--days", type=int, default=30, help="single-day runs of each shop")
    parser.add_argument("--seeds", type=int, default=2, help="shops, with seeds 42, 43, ...")
    parser.add_argument("--exports", type=int, default=1_000, help="exports made by chance")
    parser.add_argument("--every", type=int, default=1, help="kill at every so many of the writes")
    chosen = parser.parse_args()
    campaigns = [
        ("kills", lambda: kills(chosen.every)),
        (f"{chosen.exports:,} exports", lambda: exports(chosen.exports)),
        ("every case of the tests", every_case),
    ]
    for seed in range(42, 42 + chosen.seeds):
        campaigns.append((f"{chosen.days} single days, seed {seed}", lambda seed=seed: single_days(seed, chosen.days)))
    failed = False
    for name, run in campaigns:
        started = time.monotonic()
        print(name, flush=True)
        faults = run()
        failed |= bool(faults)
        print("\n".join(f"  {fault}" for fault in faults) or f"  the same rows, {time.monotonic() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
