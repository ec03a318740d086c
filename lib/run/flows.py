"""Flows: which notebooks run as one, and with what, by a name under `flows` of pipeline.yml.

A flow is checked whole before anything of it starts. What runs it when is `lib.run.schedule` and `lib.run.watch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib.base.errors import ConfigError, did_you_mean
from lib.config import Flow as Configured
from lib.run.parameters import NOTEBOOKS, find_notebook, parse_parameters
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: The notebook that loads from the lake; those after it need what it left, or what is published.
_FIRST_OF_COPY = "03_clean"


@dataclass(frozen=True)
class Flow:
    """A flow as it can run: its notebooks in order, and parameters as `-p` of the command line takes them."""

    name: str
    notebooks: tuple[str, ...]
    parameters: tuple[str, ...]
    full_refresh: bool = False
    as_of: str = ""

    @property
    def goes_on_from_published(self) -> bool:
        """Whether it changes or looks at what is published, and so needs something published."""
        return _FIRST_OF_COPY not in self.notebooks and any(n > _FIRST_OF_COPY for n in self.notebooks)

    def select(self, only: str = "", first: str = "", last: str = "") -> tuple[str, ...]:
        """Return some of its notebooks, in their order; raise ConfigError for one that it does not have."""
        begin, end = (self._own(only or text) if only or text else "" for text in (first, last))
        chosen = tuple(n for n in self.notebooks if (not begin or n >= begin) and (not end or n <= end))
        if not chosen:
            raise ConfigError(f"--from {begin} comes after --to {end}.")
        return chosen

    def check_start(self, settings: Settings) -> None:
        """Raise ConfigError where there is nothing published that the flow could work on."""
        if self.goes_on_from_published and not open_warehouse(settings).exists():
            raise ConfigError(
                f"The flow {self.name} works on what is published, and nothing is in {open_warehouse(settings).place}."
                " Run all notebooks once, such as: run_pipeline.py --flow ecommerce_end_to_end"
            )

    def _own(self, text: str) -> str:
        name = find_notebook(text)
        if name not in self.notebooks:
            raise ConfigError(f"The flow {self.name} has no {name}; it runs {', '.join(self.notebooks)}.")
        return name


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
    texts = tuple(f"{key}={_text(value)}" for key, value in configured.parameters.items())
    for text in texts:
        try:
            given = parse_parameters([text])
        except ConfigError as error:
            raise ConfigError(f"{where}.parameters: {str(error).removeprefix(f'-p {text}: ')}") from None
        if not any(given[notebook] for notebook in notebooks):
            has = next(notebook for notebook, values in given.items() if values)
            raise ConfigError(f"{where}.parameters: {text.partition('=')[0]} is of {has}, which its 'stages' leave out.")
    return Flow(name, notebooks, texts, configured.full_refresh, configured.as_of)


def _notebook(text: str, where: str) -> str:
    try:
        return find_notebook(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_order(notebooks: Sequence[str], where: str) -> None:
    for before, after in zip(notebooks, notebooks[1:], strict=False):
        if before >= after:
            raise ConfigError(
                f"{where}.stages: {after} stands behind {before}. Name each notebook once, in their order:"
                f" {', '.join(sorted(set(notebooks)))}."
            )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
