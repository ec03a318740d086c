"""Flows: which notebooks run as one, and with what, by a name under `flows` of pipeline.yml.

A flow is checked whole before anything of it starts. What runs it when is `lib.run.schedule` and `lib.run.watch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from lib.base.errors import ConfigError, did_you_mean
from lib.config import Flow as Configured
from lib.run import cron
from lib.run.parameters import NOTEBOOKS, find_notebook, parameters_of
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: The notebook that loads from the lake; those after it need what it left, or what is published.
_FIRST_OF_COPY = "03_clean"


@dataclass(frozen=True)
class Flow:
    """A flow as it can run: its notebooks in order, and what it gives to each."""

    name: str
    notebooks: tuple[str, ...]
    parameters: dict[str, dict[str, Any]]
    full_refresh: bool = False
    as_of: str = ""

    @property
    def from_published(self) -> bool:
        """Whether it changes or looks at what is published, and so needs something published."""
        return (
            bool(self.name) and _FIRST_OF_COPY not in self.notebooks and any(n > _FIRST_OF_COPY for n in self.notebooks)
        )

    def select(self, only: str = "", first: str = "", last: str = "") -> tuple[str, ...]:
        """Return some of its notebooks, in their order; raise ConfigError for one that it does not have."""
        begin, end = (self._own(only or text) if only or text else "" for text in (first, last))
        chosen = tuple(n for n in self.notebooks if (not begin or n >= begin) and (not end or n <= end))
        if not chosen:
            raise ConfigError(f"--from {begin} comes after --to {end}.")
        return chosen

    def with_parameters(self, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return what was given to each notebook on top of what the flow gives."""
        return {notebook: self.parameters.get(notebook, {}) | values for notebook, values in given.items()}

    def day(self) -> str:
        """Return the day to which the simulated shop is to go on; empty where the flow says nothing of it."""
        return datetime.now().astimezone().date().isoformat() if self.as_of else ""

    def check_start(self, settings: Settings) -> None:
        """Raise ConfigError where there is nothing published that the flow could work on."""
        if self.from_published and not open_warehouse(settings).exists():
            raise ConfigError(
                f"The flow {self.name} works on what is published, and nothing is in {open_warehouse(settings).place}."
                " Run all notebooks once, such as: run_pipeline.py --flow ecommerce_end_to_end"
            )

    def _own(self, text: str) -> str:
        name = find_notebook(text)
        if name not in self.notebooks:
            raise ConfigError(f"The flow {self.name} has no {name}; it runs {', '.join(self.notebooks)}.")
        return name


def whole() -> Flow:
    """Return what runs where no flow is named: all notebooks."""
    return Flow("", tuple(NOTEBOOKS), {})


def all_flows(settings: Settings) -> dict[str, Flow]:
    """Return the configured flows by name; raise ConfigError with every mistake in any of them."""
    found, faults = {}, []
    for name, configured in settings.config.flows.items():
        try:
            found[name] = _checked(name, configured)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def find_flow(settings: Settings, name: str) -> Flow:
    """Return a flow; raise ConfigError where there is none of the name, or any flow has a mistake."""
    flows = all_flows(settings)
    if name not in flows:
        listed = f"there are {', '.join(flows)}" if flows else "there are none: add one under 'flows' of pipeline.yml"
        raise ConfigError(f"No flow {name!r}; {listed}.{did_you_mean(name, flows)}")
    return flows[name]


def _checked(name: str, configured: Configured) -> Flow:
    where = f"flows.{name}"
    notebooks = tuple(NOTEBOOKS)
    if configured.stages:
        notebooks = tuple(_notebook(text, f"{where}.stages[{i}]") for i, text in enumerate(configured.stages))
        _check_order(notebooks, where)
    if configured.full_refresh and _FIRST_OF_COPY not in notebooks:
        raise ConfigError(f"{where}.full_refresh rebuilds from {_FIRST_OF_COPY} on, which its 'stages' leave out.")
    if configured.cron:
        cron.check(configured.cron, f"{where}.cron")
    parameters = parameters_of(configured.parameters, f"{where}.parameters")
    for notebook, values in parameters.items():
        if values and notebook not in notebooks and notebook in configured.parameters:
            raise ConfigError(f"{where}.parameters: {notebook} is none of its 'stages' ({', '.join(notebooks)}).")
    return Flow(name, notebooks, parameters, configured.full_refresh, configured.as_of)


def _notebook(text: str, where: str) -> str:
    try:
        return find_notebook(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_order(notebooks: Sequence[str], where: str) -> None:
    for before, after in pairwise(notebooks):
        if before >= after:
            raise ConfigError(
                f"{where}.stages: {after} stands behind {before}. Name each notebook once, in their order:"
                f" {', '.join(sorted(set(notebooks)))}."
            )
