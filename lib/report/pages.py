"""The pages: an executed notebook, a run, the list of all runs; each one file without scripts or network."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lib.base import formatting
from lib.report.pieces import Kpi, Tone, as_score, dims, kpis, render


def notebook_page(path: Path, *, run: Mapping[str, Any] | None = None, stage_name: str = "") -> str:
    """Return the executed notebook at `path` as one HTML page without code, for `reports/<stage>.html`."""
    from lib.report.notebook import read_notebook  # nbconvert takes a second to import

    body = read_notebook(path)
    stage = next((s for s in (run or {}).get("stages") or [] if (s or {}).get("name") == stage_name), None)
    title = body.headline.get("title") or body.title or (stage or {}).get("title") or stage_name or path.stem
    return _page(
        "notebook_page.html.j2",
        body=body,
        run=run or {},
        stage=stage or {},
        stage_name=stage_name,
        title=title,
    )


def run_page(run: Mapping[str, Any]) -> str:
    """Return the page of one run, for `outputs/runs/<run_id>/index.html`."""
    quality, kpi = run.get("quality") or {}, run.get("kpis") or {}
    currency = (run.get("shop") or {}).get("currency") or ""
    strip = [
        Kpi("New rows", formatting.number(run.get("new_rows"))),
        Kpi("Quality score", formatting.points(quality.get("score")), note=_grade(quality)),
        Kpi("Net revenue", formatting.compact(kpi.get("net_amount")), note=currency),
        Kpi("Orders", formatting.number(kpi.get("orders"))),
        Kpi("Duration", formatting.duration(run.get("seconds")), note=formatting.when(run.get("started_at"))),
    ]
    scores = quality.get("dimensions") or {}
    return _page(
        "run_page.html.j2",
        run=run,
        title=run_title(run),
        kpis=Markup(kpis(strip).html),
        dims=Markup(dims(scores).html) if scores else "",
        failed=[s for s in run.get("stages") or [] if (s or {}).get("error")],
    )


def runs_page(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the list of all runs, newest first, for `outputs/index.html`."""
    ordered = sorted(runs, key=lambda run: str(run.get("run_id") or ""), reverse=True)
    past = ordered[::-1][-40:]
    scores = [as_score((run.get("quality") or {}).get("score")) for run in past]
    times = [formatting.as_float(run.get("seconds")) for run in past if run.get("seconds") is not None]
    known = [score for score in scores if score is not None]
    strip = [
        Kpi("Runs", formatting.number(len(ordered))),
        Kpi("Published", formatting.number(sum(run.get("state") == "published" for run in ordered))),
        Kpi("Quality score, last", formatting.points(known[-1] if known else None), spark=known),
        Kpi("Duration, last", formatting.duration(times[-1] if times else None), spark=times),
    ]
    return _page("runs_page.html.j2", runs=ordered, kpis=Markup(kpis(strip).html) if ordered else "")


STATES: dict[str, tuple[str, Tone]] = {
    "published": ("Published", "good"),
    "not_published": ("Not published", "neutral"),
    "refused": ("Refused", "bad"),
    "failed": ("Failed", "bad"),
    "killed": ("Killed", "bad"),
    "running": ("Running", "neutral"),
    "ok": ("ok", "good"),
    "timed_out": ("timed out", "bad"),
    "kernel_died": ("kernel died", "bad"),
    "skipped": ("skipped", "neutral"),
    "not_run": ("not run", "neutral"),
}


def run_title(run: Mapping[str, Any]) -> str:
    """Return one sentence on how a run ended."""
    state = str(run.get("state") or "unknown")
    broken: Mapping[str, Any] = next(
        (s for s in run.get("stages") or [] if (s or {}).get("state") in ("failed", "timed_out", "kernel_died")),
        {},
    )
    where = f" in {broken.get('name')}" if broken else ""
    score = formatting.as_float((run.get("quality") or {}).get("score"))
    quality = f" with a quality score of {formatting.points(score)}" if math.isfinite(score) else ""
    return {
        "published": f"Published{' in spite of the quality gate,' if is_overridden(run) else ''}{quality}",
        "not_published": "Done, not published",
        "refused": f"Refused by the quality gate{quality.replace(' with', ',', 1)}",
        "failed": f"Failed{where}",
        "killed": f"Killed{where or ' before its end'}",
        "running": "Running",
    }.get(state, f"State {state}")


def is_overridden(run: Mapping[str, Any]) -> bool:
    """Whether a run published what the quality gate had refused."""
    gate = (run.get("quality") or {}).get("gate") or {}
    return run.get("state") == "published" and bool(gate.get("overridden"))


def _grade(quality: Mapping[str, Any]) -> str:
    passed = (quality.get("gate") or {}).get("passed")
    grade = f"grade {quality['grade']}" if quality.get("grade") else ""
    overridden = (quality.get("gate") or {}).get("overridden")
    gate = "" if passed is None else "gate passed" if passed else f"gate {'overridden' if overridden else 'not passed'}"
    return " · ".join(filter(None, [grade, gate]))


def _page(name: str, **values: Any) -> str:
    return render(name, states=STATES, is_overridden=is_overridden, **values)
