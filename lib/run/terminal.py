"""What the command line prints: a run's progress and end, tables, log lines, JSON, and errors without a stack trace."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from lib.base.errors import ConfigError, PipelineError, explain
from lib.base.secrets import mask

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)


def log(text: str) -> None:
    """Print a line of a long-running command, with the time of this machine's clock."""
    print(mask(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {text}"), flush=True)


def say(outcome: Any, seconds: float, as_json: bool) -> int:
    """Say how a run ended and where everything is; return the exit code."""
    from lib.report.pages import is_overridden

    manifest, folder = outcome.manifest, outcome.folder
    for stage in manifest["stages"]:
        if stage["state"] == "skipped" and stage.get("last_run"):
            out.print(f"  {stage['name']:<12} skipped              {stage['why']}", highlight=False, markup=False)
        elif stage["state"] != "skipped":
            facts = ", ".join(_facts(stage))
            took = f"{stage['seconds']:6.1f} s" if stage["seconds"] is not None else "        "
            out.print(f"  {stage['name']:<12} {stage['state']:<9} {took}  {facts}", highlight=False, markup=False)
            if stage.get("why") and stage["seconds"] is not None:
                out.print(f"  {'':<12} why: {mask(stage['why'])}", highlight=False, markup=False)
    tone = "yellow" if is_overridden(manifest) else {0: "green", 3: "yellow"}.get(outcome.exit_code, "red")
    out.print(f"[{tone}]{_ending(manifest)}[/{tone}] in {seconds:.1f} s", highlight=False)
    if manifest["reason"]:
        out.print(str(manifest["reason"]), highlight=False, markup=False)
    for stage in manifest["stages"]:
        if stage["error"]:
            out.print("\n".join(_failure(stage, folder)), highlight=False, markup=False)
    reports = [folder / "reports" / f"{n}.html" for n in ("06_insights", "05_quality")]
    reports += [folder.parent / s["last_run"] / s["report"] for s in reversed(manifest["stages"]) if s.get("last_run")]
    shown = next((p for p in reports if p.exists()), None)
    if shown:
        out.print(f"Report:    {shown}", highlight=False, markup=False)
    out.print(f"This run:  {folder / 'index.html'}", highlight=False, markup=False)
    out.print(f"Run index: {folder.parent.parent / 'index.html'}", highlight=False, markup=False)
    if as_json:
        quality = manifest["quality"] or {}
        print_json(
            run_id=manifest["run_id"],
            given_id=manifest.get("given_id"),
            state=manifest["state"],
            reason=manifest["reason"],
            stages=[{k: stage[k] for k in ("name", "state", "seconds")} for stage in manifest["stages"]],
            score=quality.get("score"),
            grade=quality.get("grade"),
            new_rows=manifest["new_rows"],
            report=str(shown or folder / "index.html"),
            exit_code=outcome.exit_code,
        )
    return int(outcome.exit_code)


def _failure(stage: dict[str, Any], folder: Path) -> Iterator[str]:
    """Yield where a stage failed: notebook, cell, the last line of the exception, and the files that show it."""
    error = stage["error"]
    last = (str(error["message"]).strip().splitlines() or [""])[-1]
    cell = "" if error["cell"] is None else f", cell {error['cell']}"
    yield f"Stopped:   {stage['name']}{cell}: {error['type']}: {last}"
    for kind in ("notebook", "report"):
        if (folder / stage[kind]).exists():
            yield f"{kind.capitalize() + ':':<11}{folder / stage[kind]}"


def print_json(**values: Any) -> None:
    """Print one line of JSON, for what started this to read."""
    print(mask(json.dumps(values, ensure_ascii=False, default=str)), flush=True)


def _facts(stage: dict[str, Any]) -> Iterator[str]:
    """Yield what a line about a stage says after its name, state and time."""
    if len(stage.get("tries") or []) > 1:
        yield f"{len(stage['tries'])} tries"
    for name, value in stage["facts"].items():
        yield f"{name.lower()} {value:,}" if isinstance(value, int | float) else f"{name.lower()} {value}"


def _ending(manifest: dict[str, Any]) -> str:
    """Return a sentence on how a run ended."""
    from lib.report.pages import is_overridden

    new = manifest["new_rows"]
    loaded = "" if new is None else f", {new:,} new rows loaded"
    spite = " in spite of the quality gate" if is_overridden(manifest) else ""
    return {
        "published": f"Published {manifest['shop']['name']}{spite}{loaded}",
        "not_published": f"Done, not published{loaded}",
        "waiting": f"Done so far, not published{loaded}",
        "abandoned": "Abandoned",
        "refused": "Not published",
    }.get(manifest["state"], "Failed")


@contextmanager
def bar(total: int) -> Iterator[Any]:
    """Show stage n of m, notebook, cell and elapsed time; a line a stage where there is no terminal."""
    if not err.is_terminal:
        last = [""]

        def line(progress: Any) -> None:
            if progress.notebook != last[0]:
                last[0] = progress.notebook
                print(f"[{progress.number}/{progress.total}] {progress.notebook}", file=sys.stderr, flush=True)
            if progress.doing and not progress.cells:  # between two tries
                print(f"      {progress.doing}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("stage {task.fields[number]} of {task.total:.0f}  {task.fields[notebook]:<12}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("cell {task.fields[cell]}/{task.fields[cells]}"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[doing]}[/dim]"),
    )
    with Progress(*columns, console=err, transient=True) as shown_bar:
        task = shown_bar.add_task("", total=total, number=1, notebook="", cell=0, cells=0, doing="starting")

        def show(progress: Any) -> None:
            done = progress.number - 1 + (progress.cell / progress.cells if progress.cells else 0)
            fields = {
                "number": progress.number,
                "notebook": progress.notebook,
                "cell": progress.cell,
                "cells": progress.cells,
            }
            shown_bar.update(task, completed=done, doing=progress.doing, **fields)

        yield show


def shown(value: Any) -> str:
    """Return a value of a query for a terminal: nothing for null, a day without its midnight."""
    return "" if value is None or value != value else str(value).removesuffix(" 00:00:00")


def print_rows(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on a terminal, tab-separated lines elsewhere."""
    if not out.is_terminal:
        for row in [columns, *rows]:
            print("\t".join(row))
        return
    table = Table(*columns, box=None, header_style="dim", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    out.print(table, markup=False)


@contextmanager
def plain_errors(as_json: bool = False) -> Iterator[None]:
    """End with a message instead of a stack trace where the fault is the user's to correct."""
    try:
        yield
    except (PipelineError, OSError) as error:
        err.print(f"[red]Error:[/red] {_safe(error)}", highlight=False)
        code = 2 if isinstance(error, ConfigError) else 1
        if as_json:
            nothing = dict.fromkeys(("run_id", "given_id", "state", "score", "grade", "new_rows", "report"))
            print_json(**nothing, reason=explain(error), stages=[], exit_code=code)
        raise typer.Exit(code) from None


def _safe(error: Exception) -> str:
    return mask(explain(error)).replace("[", "\\[")
