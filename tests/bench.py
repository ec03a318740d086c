"""`make bench`: whole runs measured from outside: CPU and wall seconds, peak memory; plain papermill beside them.

Each case runs in an empty folder. CPU seconds are those, user and system, of the process and all its descendants, which
other load on the machine disturbs least; not those of a PostgreSQL server. Memory is the sum of the proportional set
sizes (PSS) of the same processes: what forked kernels share counts once. It is sampled five times a second; per stage
it is the peak while that stage was running.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from lib.run.parameters import NOTEBOOKS
from tests.postgres import create_database, drop_database, start_server

PROJECT = Path(__file__).resolve().parent.parent
ONLINE_RETAIL = (PROJECT / os.environ.get("ONLINE_RETAIL_DIR", "../shared/data/online_retail")).resolve()


@dataclass
class Measured:
    """CPU and wall seconds and peak bytes of a process and its descendants; wall seconds and peak by stage too."""

    cpu: float = 0.0
    seconds: float = 0.0
    peak: int = 0
    stages: dict[str, tuple[float, int]] = field(default_factory=dict)


def measure(command: list[str], environment: dict[str, str], outputs: Path) -> Measured:
    """Run a command to its end and return what it took; exit where it fails."""
    result = Measured()
    peaks: dict[str, int] = {}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        # wait4 returns what the process used, and what its descendants did: each of them is waited for by its parent.
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            size = _memory(process.pid)
            result.peak = max(result.peak, size)
            stage = _running_stage(outputs)
            peaks[stage] = max(peaks.get(stage, 0), size)
            time.sleep(0.2)
        result.seconds = time.monotonic() - started
        result.cpu = ended[2].ru_utime + ended[2].ru_stime
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read()}")
    for path in (outputs / "runs").glob("*/run.json"):
        for stage in json.loads(path.read_text())["stages"]:
            result.stages[stage["name"]] = (stage["seconds"] or 0.0, peaks.get(stage["name"], 0))
    return result


def run_pipeline(environment: dict[str, str], outputs: Path, *arguments: str) -> Measured:
    """Measure `run_pipeline.py`."""
    return measure([sys.executable, "run_pipeline.py", *arguments], environment, outputs)


def plain_papermill(environment: dict[str, str], outputs: Path, *arguments: str) -> Measured:
    """Measure the same notebooks, each by the `papermill` command with a cold kernel of its own."""
    given = ["-p", "sources", arguments[1]] if arguments else []
    result = Measured()
    for name in NOTEBOOKS:
        extra = ["-p", "publish", "True"] if name == "05_quality" else []
        target = str(outputs / f"{name}.ipynb")
        command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", target, "--no-progress-bar", *given]
        stage = measure(command + extra, environment, outputs)
        result.cpu += stage.cpu
        result.seconds += stage.seconds
        result.peak = max(result.peak, stage.peak)
        result.stages[name] = (stage.seconds, stage.peak)
    return result


#: The day after the simulated shop's history.
NEXT_DAY = ("--as-of", "2026-01-01")


def case(
    label: str, size: str, runner: Callable[..., Measured], *arguments: str, again: bool = False, server: str = ""
) -> None:
    """Measure one case in an empty folder and print it; `again` measures one more day, and then a run with nothing new.

    With the URL of a `server` the warehouse is an empty database there.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        outputs = Path(folder) / "outputs"
        outputs.mkdir()
        places = {"SHOP_DATA_DIR": f"{folder}/data", "SHOP_OUTPUT_DIR": str(outputs), "SHOP_SIZE": size}
        environment = {**os.environ, **places, "ONLINE_RETAIL_DIR": str(ONLINE_RETAIL)}
        if server:
            environment["WAREHOUSE_URL"] = create_database(server)
            arguments = (*arguments, "--target", "postgres")
            label += ", PostgreSQL"
        first = runner(environment, outputs, *arguments)
        _print(label, first)
        for name in ("one more day", "nothing new") if again else ():
            later = Path(folder) / name
            later.mkdir()
            result = runner({**environment, "SHOP_OUTPUT_DIR": str(later)}, later, *arguments, *NEXT_DAY)
            _print(f"{label}, {name}", result)
            if name == "one more day":
                shares = {stages: _seconds(result, stages) / _seconds(first, stages) for stages in ("2", "34")}
                print(f"  of the first run: ingest {shares['2']:.1%}, clean and model {shares['34']:.1%}", flush=True)
        if server:
            drop_database(environment["WAREHOUSE_URL"])


def main() -> None:
    """Measure the cases that the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", choices=("small", "default", "large"), default="default")
    parser.add_argument(
        "--target", choices=("duckdb", "postgres"), default="duckdb", help="postgres: both, side by side"
    )
    parser.add_argument("--no-papermill", action="store_true", help="leave out the comparison with plain papermill")
    chosen = parser.parse_args()
    server = ""
    if chosen.target == "postgres":
        chosen.no_papermill = True
        server = os.environ.get("TEST_POSTGRES_URL") or start_server(compose_settings())
    print(
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, Python {platform.python_version()}\n"
    )
    print("cpu: user and system seconds of all processes; MB: peak of the sum of their proportional set sizes (PSS)")
    print(f"{'case':<44}{'cpu s':>8}{'wall s':>8}{'MB':>7}   wall s (MB) by stage")
    servers = ["", server] if server else [""]
    for one in servers:
        case(f"simulated shop, {chosen.size}", chosen.size, run_pipeline, again=True, server=one)
    if not chosen.no_papermill:
        case(f"simulated shop, {chosen.size}, plain papermill", chosen.size, plain_papermill)
    if not ONLINE_RETAIL.is_dir():
        print(f"Online Retail: left out, not at {ONLINE_RETAIL}")
    elif chosen.size == "default":
        sources = ("--sources", "examples/online_retail.yml")
        for one in servers:
            case("Online Retail, 68 files", "default", run_pipeline, *sources, server=one)
        if not chosen.no_papermill:
            case("Online Retail, plain papermill", "default", plain_papermill, *sources)


def compose_settings() -> dict[str, str]:
    """Return the settings of the server in docker-compose.yml."""
    service = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["warehouse"]
    return dict(setting.split("=", 1) for setting in service["command"] if setting != "-c")


def _print(label: str, result: Measured) -> None:
    stages = "  ".join(
        f"{name[:2]} {seconds:.1f} ({peak / 1e6:.0f})" for name, (seconds, peak) in result.stages.items()
    )
    print(f"{label:<44}{result.cpu:>8.1f}{result.seconds:>8.1f}{result.peak / 1e6:>7.0f}   {stages}", flush=True)


def _seconds(result: Measured, numbers: str) -> float:
    """Return the seconds of the stages with these numbers."""
    return sum(seconds for name, (seconds, _) in result.stages.items() if name[1] in numbers)


def _memory(pid: int) -> int:
    """Return the bytes of a process and its descendants: proportional set sizes, resident ones where there are none."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                found = one.memory_full_info()
                total += getattr(found, "pss", found.rss)
    return total


def _running_stage(outputs: Path) -> str:
    """Return the stage that the run under `outputs` is in."""
    for path in (outputs / "runs").glob("*/run.json"):
        try:
            stages = json.loads(path.read_text())["stages"]
        except (OSError, ValueError):
            continue
        return next((s["name"] for s in stages if s["state"] == "running"), "")
    return ""


if __name__ == "__main__":
    main()
