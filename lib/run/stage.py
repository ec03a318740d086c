"""What a notebook holds on to: its settings, its copy of the warehouse, its charts folder and its closing note.

A batch run gives each notebook its `run_id`; a notebook run by hand has none and works on a draft of its own,
which no reader sees until `05_quality` is asked to publish it.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from lib.base.errors import PipelineError, WarehouseError, explain
from lib.base.files import write_atomically
from lib.config import Shop
from lib.settings import Settings, load_settings
from lib.warehouse import RESOURCE_ERRORS, Warehouse, open_warehouse


@dataclass
class Stage:
    """One notebook's run. Make it with `open_stage`, close it with `finish`."""

    name: str
    settings: Settings
    run_id: str
    is_batch: bool
    folder: Path
    started: float = field(default_factory=time.monotonic)
    charts: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def shop(self) -> Shop:
        return self.settings.shop

    @property
    def charts_dir(self) -> Path:
        """Where this run's charts go."""
        folder = self.folder / "charts"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def writable(self, *, full_refresh: bool = False, new_draft: bool = False) -> Warehouse:
        """Return the private copy to work on, made where it is missing or no longer follows what is published.

        `new_draft` starts the draft of notebooks run by hand over; `full_refresh` starts empty, to fill from the lake.
        """
        warehouse = open_warehouse(self.settings, "run" if self.is_batch else "draft")
        if full_refresh or (new_draft and not self.is_batch) or not warehouse.is_current():
            if not full_refresh:
                self._check_beginning(warehouse)
            warehouse.begin(full_refresh=full_refresh)
        return warehouse

    def readable(self) -> Warehouse:
        """Return what a report reads: the private copy while there is one, else what is published."""
        copy = open_warehouse(self.settings, "run" if self.is_batch else "draft")
        if copy.is_current():
            return copy
        self._check_beginning(copy)
        return open_warehouse(self.settings)

    def _check_beginning(self, copy: Warehouse) -> None:
        """Raise WarehouseError where a run has a copy that is overtaken: it never goes on from what is published."""
        if self.is_batch and copy.exists():
            raise WarehouseError(
                f"What is published has changed since this run began ({open_warehouse(self.settings).place}), so the"
                f" run's copy no longer follows it. Run: run_pipeline.py --run-id {self.run_id} --from 03_clean"
            )

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Return a query's rows, through a connection that is closed again at once."""
        return self.readable().query(sql, parameters)

    @cached_property
    def show(self) -> Any:
        """`show(result, query)` displays an insight as a chart, which is kept with the run, or says what is missing."""
        from lib.report.insight import presenter

        return presenter(self)

    def where_to_go_on(self) -> Any:
        """Return a hint for notebooks run by hand where the shop is not in the folder that they look in by default."""
        from lib.report import pieces

        if self.is_batch or self.settings.data_dir == load_settings().data_dir:
            return None
        return pieces.note(f"In the next notebooks, set data_dir to `{self.settings.data_dir}`.")

    def progress(self, text: str) -> None:
        """Say what long work is doing: to the run's progress bar, or on one line below the notebook's cell."""
        if self.is_batch:
            write_atomically(self.folder / "stages" / f"{self.name}.progress", text)
        else:
            _show_line(text)

    def chart(self, chart: Any) -> Any:
        """Note a chart in the run's manifest and return it for display."""
        self.charts.append(
            {
                "name": chart.name,
                "title": chart.title,
                "alt": chart.alt,
                "svg": f"charts/{chart.name}.svg",
                "png": f"charts/{chart.name}.png",
            }
        )
        return chart

    def note(self, **values: Any) -> None:
        """Add values to the run's manifest, such as quality or watermarks."""
        self.extra.update(values)

    def finish(
        self, *, rows_in: int | None = None, rows_out: int | None = None, facts: dict[str, Any] | None = None
    ) -> Any:
        """Close the stage: hand counts and facts to the run's manifest, and return the closing summary to display."""
        from lib.report import pieces

        if not self.is_batch:
            _show_line("")
        facts = {k: v for k, v in (facts or {}).items() if v is not None}
        note = {"rows_in": rows_in, "rows_out": rows_out, "facts": facts, "charts": self.charts} | self.extra
        write_atomically(
            self.folder / "stages" / f"{self.name}.json",
            json.dumps(note, indent=1, default=str, ensure_ascii=False),
        )
        shown = {"Rows in": rows_in, "Rows out": rows_out} | facts
        summary = pd.DataFrame([(k, _text(v)) for k, v in shown.items() if v is not None], columns=["", "Result"])
        return pieces.table(summary, f"{self.name} is done", count=False)


def open_stage(
    name: str,
    *,
    sources: str = "",
    data_dir: str = "",
    output_dir: str = "",
    target: str = "",
    run_id: str = "",
    size: str = "",
    seed: int | None = None,
    as_of: str = "",
) -> Stage:
    """Return the stage of a notebook; the arguments are its parameters, empty ones mean "as pipeline.yml says".

    In a notebook, an error of the user's making is shown as its message, without a stack trace.
    """
    _show_plain_errors()
    settings = load_settings(
        sources=sources, data_dir=data_dir, output_dir=output_dir, target=target, size=size, seed=seed, as_of=as_of
    )
    folder = settings.output_dir / ("runs/" + run_id if run_id else "draft")
    return Stage(
        name=name,
        settings=settings,
        run_id=run_id or "draft-" + datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        is_batch=bool(run_id),
        folder=folder,
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return str(value)


def _ipython() -> Any:
    """Return the shell of the notebook this runs in; None where it is none."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _show_plain_errors() -> None:
    """Let IPython show the project's own errors, and those about disk and memory, as one message."""
    shell = _ipython()
    if shell is None:
        return

    def show(shell: Any, kind: Any, error: BaseException, trace: Any, tb_offset: Any = None) -> list[str]:
        shown = kind(explain(error)) if isinstance(error, OSError) else error
        lines = [f"{kind.__name__}: {shown}"]
        shell._showtraceback(kind, shown, lines)
        return lines

    shell.set_custom_exc((PipelineError, OSError, *RESOURCE_ERRORS), show)


_line: Any = None


def _show_line(text: str) -> None:
    """Show, or replace, one line of progress under the running cell; nothing outside IPython."""
    global _line
    if _ipython() is None:
        return
    from IPython.display import HTML, display

    shown = HTML(f"<small>{escape(text)}</small>" if text else "")
    if _line is None and text:
        _line = display(shown, display_id=True)
    elif _line is not None:
        _line.update(shown)
        _line = _line if text else None
