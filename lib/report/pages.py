"""The pages: an executed notebook, a run, two runs beside each other, the list of all runs.

Each is one file that needs no network; only the list of runs has a script, its own, that filters and sorts.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lib.base import formatting
from lib.report.pieces import Kpi, Tone, as_score, kpis, render, score_bars

#: The states of runs and stages: how each is written, and whether that is good.
STATES: dict[str, tuple[str, Tone]] = {
    "published": ("Published", "good"),
    "not_published": ("Not published", "neutral"),
    "refused": ("Refused", "bad"),
    "failed": ("Failed", "bad"),
    "killed": ("Killed", "bad"),
    "running": ("Running", "neutral"),
    "waiting": ("Waiting", "neutral"),
    "abandoned": ("Abandoned", "neutral"),
    "ok": ("ok", "good"),
    "timed_out": ("timed out", "bad"),
    "kernel_died": ("kernel died", "bad"),
    "skipped": ("skipped", "neutral"),
    "not_run": ("not run", "neutral"),
}


def notebook_page(path: Path, *, run: Mapping[str, Any] | None = None, stage_name: str = "") -> str:
    """Return the executed notebook at `path` as one HTML page without code, for `reports/<stage>.html`."""
    from lib.report.notebook import read_notebook  # only a run needs nbconvert

    body, run = read_notebook(path), run or {}
    stage: Mapping[str, Any] = next((s for s in run.get("stages") or [] if s and s.get("name") == stage_name), {})
    title = body.headline.get("title") or body.title or stage.get("title") or stage_name or path.stem
    return render("notebook_page.html.j2", body=body, run=run, stage=stage, stage_name=stage_name, title=title)


def run_page(run: Mapping[str, Any]) -> str:
    """Return the page of one run, for `outputs/runs/<run_id>/index.html`."""
    quality, kpi, stages = run.get("quality") or {}, run.get("kpis") or {}, run.get("stages") or []
    currency = (run.get("shop") or {}).get("currency") or ""
    figures = [
        Kpi("New rows", formatting.number(run.get("new_rows"))),
        Kpi("Quality score", formatting.points(quality.get("score")), note=_grade(quality)),
        Kpi("Net revenue", formatting.compact(kpi.get("net_amount")), note=currency),
        Kpi("Orders sold", formatting.number(kpi.get("orders"))),
        Kpi("Duration", formatting.duration(run.get("seconds")), note=formatting.when(run.get("started_at"))),
    ]
    scores = quality.get("dimensions")
    values = {"title": run_title(run), "failed": [stage for stage in stages if stage and stage.get("error")]}
    values |= {"kpis": Markup(kpis(figures).html), "scores": Markup(score_bars(scores).html) if scores else ""}
    return render("run_page.html.j2", run=run, states=STATES, is_overridden=is_overridden, **values)


def runs_page(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the list of all runs, newest first, for `outputs/index.html`."""
    ordered = sorted(runs, key=lambda run: str(run.get("run_id") or ""), reverse=True)
    past = ordered[:40][::-1]
    scores = [score for run in past if (score := as_score((run.get("quality") or {}).get("score"))) is not None]
    times = [formatting.as_float(run["seconds"]) for run in past if run.get("seconds") is not None]
    figures = [
        Kpi("Runs", formatting.number(len(ordered))),
        Kpi("Published", formatting.number(sum(run.get("state") == "published" for run in ordered))),
        Kpi("Quality score, last", formatting.points(scores[-1] if scores else None), spark=scores),
        Kpi("Duration, last", formatting.duration(times[-1] if times else None), spark=times),
    ]
    shown = Markup(kpis(figures).html) if ordered else ""
    values = {"runs": ordered, "kpis": shown, "found": sorted({str(run.get("state") or "unknown") for run in ordered})}
    return render("runs_page.html.j2", states=STATES, is_overridden=is_overridden, **values)


def difference_page(
    first: Mapping[str, Any], second: Mapping[str, Any], groups: Sequence[tuple[str, Sequence[Any]]]
) -> str:
    """Return what differs between two runs, by group, for `outputs/diffs/<A>--<B>.html`."""
    return render("difference_page.html.j2", first=first, second=second, groups=groups, states=STATES)


def run_title(run: Mapping[str, Any]) -> str:
    """Return one sentence on how a run ended."""
    state, broken = str(run.get("state") or "unknown"), ("failed", "timed_out", "kernel_died")
    places = [stage.get("name") for stage in run.get("stages") or [] if stage and stage.get("state") in broken]
    where = f" in {places[0]}" if places else ""
    score = formatting.as_float((run.get("quality") or {}).get("score"))
    quality = f"a quality score of {formatting.points(score)}" if math.isfinite(score) else ""
    return {
        "published": f"Published{' in spite of the quality gate,' if is_overridden(run) else ''}"
        + (f" with {quality}" if quality else ""),
        "not_published": "Done, not published",
        "refused": "Refused by the quality gate" + (f", {quality}" if quality else ""),
        "failed": f"Failed{where}",
        "killed": f"Killed{where or ' before its end'}",
        "running": "Running",
        "waiting": "Waiting for its next stage",
        "abandoned": "Abandoned",
    }.get(state, f"State {state}")


def is_overridden(run: Mapping[str, Any]) -> bool:
    """Whether a run published what the quality gate had refused."""
    gate = (run.get("quality") or {}).get("gate") or {}
    return run.get("state") == "published" and bool(gate.get("overridden"))


def _grade(quality: Mapping[str, Any]) -> str:
    """Return a run's grade, and the verdict of the gate."""
    gate = quality.get("gate") or {}
    verdict = "overridden" if gate.get("overridden") else "passed" if gate.get("passed") else "not passed"
    texts = [f"grade {quality['grade']}"] if quality.get("grade") else []
    return " · ".join([*texts, f"gate {verdict}"] if gate.get("passed") is not None else texts)
