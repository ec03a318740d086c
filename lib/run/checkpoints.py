"""Where a stage begins: from what the stage before it in its run left, and nothing else.

What a stage that writes leaves is kept by the warehouse under the run's id (`Warehouse.keep_state`) until something is
published; so a retry after any death begins where the stage that died began.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from lib.base.errors import ConfigError
from lib.run.manifest import list_runs
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: The notebooks that change the copy, and the first of them, which begins from what is published.
WRITING = ("03_clean", "04_model", "05_quality")
_FIRST = WRITING[0]
#: States of a run that another process may go on with.
OPEN = ("waiting", "failed", "killed", "refused")
#: Of so many runs that have not published, the newest, what their stages left is kept.
_KEPT_RUNS = 3


def before(stage: str, notebooks: Iterable[str]) -> str | None:
    """Return the stage of a run that leaves what another begins from; None where that is what is published."""
    if stage <= _FIRST:
        return None
    return max((n for n in notebooks if n in WRITING and n < stage), default=None)


def kept_before(settings: Settings, run_id: str, stage: str, notebooks: Iterable[str]) -> str | None:
    """Return the stage of a run whose kept state another may begin from; None where there is none.

    An audit may also begin from what it left itself: it replaces all that it writes.
    """
    copy = open_warehouse(settings, "run")
    for candidate in (before(stage, notebooks), stage if stage == "05_quality" else None):
        if candidate and copy.has_state(run_id, candidate):
            return candidate
    return None


def open_run(settings: Settings) -> dict[str, Any] | None:
    """Return the newest run on these data that has not published and of which a stage's state is kept."""
    copy = open_warehouse(settings, "run")
    for manifest in list_runs(settings.output_dir):
        if manifest["state"] in OPEN and is_of(manifest, settings):
            done = {s["name"] for s in manifest["stages"] if s["state"] == "ok"}
            if any(name in done and copy.has_state(manifest["run_id"], name) for name in WRITING):
                return manifest
    return None


def is_of(manifest: dict[str, Any], settings: Settings) -> bool:
    """Whether a run is one on the data folder, the shop and the engine of these settings."""
    found = manifest["data_dir"], (manifest.get("shop") or {}).get("id"), manifest.get("target", "duckdb")
    return found == (str(settings.data_dir), settings.shop_id, settings.config.warehouse.target)


def check_open(manifest: dict[str, Any], settings: Settings) -> None:
    """Raise ConfigError where a run is not these settings' own, or is over."""
    run_id = manifest["run_id"]
    if manifest["state"] in ("published", "not_published", "abandoned"):
        raise ConfigError(
            f"The run {run_id} is over: {manifest['state'].replace('_', ' ')}. Open another one, with an id of its own."
        )
    if not is_of(manifest, settings):
        raise ConfigError(
            f"The run {run_id} is of the shop {(manifest.get('shop') or {}).get('id')!r} in {manifest['data_dir']} on"
            f" {manifest.get('target', 'duckdb')}, and this is {settings.shop_id!r} in {settings.data_dir} on"
            f" {settings.config.warehouse.target}. Name another run, or give the options that it was opened with."
        )


def check_join(manifest: dict[str, Any], settings: Settings, stage: str, notebooks: Sequence[str]) -> None:
    """Raise ConfigError where a run cannot be gone on with, or lacks what a stage of it begins from."""
    check_open(manifest, settings)
    run_id = manifest["run_id"]
    needed = before(stage, notebooks)
    if needed and not kept_before(settings, run_id, stage, notebooks):
        raise missing(manifest, settings, stage, needed)


def missing(manifest: dict[str, Any], settings: Settings, stage: str, needed: str) -> ConfigError:
    """Return the error of a stage whose beginning is not there, which says what to run."""
    run_id = manifest["run_id"]
    done = next((s["state"] for s in manifest["stages"] if s["name"] == needed), "not_run")
    if done != "ok":
        why, first = f"which has not ended well in the run {run_id} ({done.replace('_', ' ')})", needed
        first = first_possible(manifest, settings, needed)
    else:
        why, first = (
            f"and what it left in the run {run_id} is no longer there, or no longer follows the published",
            _FIRST,
        )
    return ConfigError(
        f"{stage} begins from what {needed} leaves, {why}. Run: run_pipeline.py --run-id {run_id} --from {first}"
        f" (or give the run up: run_pipeline.py abandon {run_id})"
    )


def first_possible(manifest: dict[str, Any], settings: Settings, stage: str) -> str:
    """Return the stage itself where what it begins from is there, else the last one before it of which that holds."""
    notebooks = planned(manifest)
    for name in sorted((n for n in notebooks if n <= stage), reverse=True):
        if name <= _FIRST or not before(name, notebooks) or kept_before(settings, manifest["run_id"], name, notebooks):
            return name
    return _FIRST


def planned(manifest: dict[str, Any]) -> list[str]:
    """Return the notebooks that a run consists of once it is whole.

    Without those left out as unchanged: what they would leave is what is published.
    """
    left_out = {s["name"] for s in manifest["stages"] if s["state"] == "skipped" and s.get("last_run")}
    return [n for n in manifest.get("notebooks") or [s["name"] for s in manifest["stages"]] if n not in left_out]


def keep(settings: Settings, run_id: str, stage: str) -> None:
    """Keep what a stage left, where it writes; of runs that were left long ago nothing is kept any more."""
    copy = open_warehouse(settings, "run")
    if stage not in WRITING or not copy.exists():
        return
    copy.keep_state(run_id, stage)
    if stage == _FIRST:
        others = [m for m in list_runs(settings.output_dir) if m["run_id"] != run_id and is_of(m, settings)]
        for manifest in [m for m in others if m["state"] in OPEN][_KEPT_RUNS - 1 :]:
            copy.forget_states(manifest["run_id"])


def settings_of(manifest: dict[str, Any], output_dir: Path) -> dict[str, Any]:
    """Return the arguments of `load_settings` for a run as it was opened."""
    options = manifest.get("options") or {}
    chosen = {k: options.get(k) or "" for k in ("sources", "size", "target")}
    if chosen["sources"]:
        chosen["size"] = ""
    return {**chosen, "as_of": manifest.get("as_of") or "", "data_dir": manifest["data_dir"], "output_dir": output_dir}


def with_day(settings: Settings, manifest: dict[str, Any]) -> Settings:
    """Return the settings with the day of a run that is gone on with, where none is given."""
    day = manifest.get("as_of")
    return settings if settings.as_of or not day else replace(settings, as_of=date.fromisoformat(day))
