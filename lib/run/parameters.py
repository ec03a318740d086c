"""The notebooks' parameters as they declare them; `-p [NOTEBOOK.]NAME=VALUE` and `-f FILE` checked against that.

papermill only warns about an unknown parameter; here it is an error before any kernel starts.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from lib.base.errors import ConfigError, did_you_mean, explain
from lib.base.files import PROJECT

_FOLDER = PROJECT / "notebooks"


#: Set by the run itself, and by options of their own.
RESERVED = {
    "run_id": "",
    "data_dir": "--data-dir",
    "output_dir": "--output-dir",
    "sources": "--sources",
    "as_of": "--as-of",
    "size": "--size",
    "target": "--target",
    "full_refresh": "--full-refresh",
}


_TYPES = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, type, default, and the comment behind it."""

    name: str
    kind: type
    default: Any
    comment: str

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The least and the most that is allowed, where the comment begins with them: `1 to 50: how many to show`."""
        found = re.match(r"(\d+) to (\d+):", self.comment)
        return (int(found[1]), int(found[2])) if found else None

    @property
    def allowed(self) -> str:
        """What values are allowed, in words."""
        words = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
        return words[self.kind.__name__] + (" from {} to {}".format(*self.bounds) if self.bounds else "")

    def parse(self, text: str) -> Any:
        """Return the text as the parameter's type; raise ValueError where it is none, or not within the bounds."""
        if self.kind is bool:
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            return words[text.lower()]
        return self.check(self.kind(text))

    def check(self, value: Any) -> Any:
        """Return the value; raise ValueError where it is not within the bounds."""
        if self.bounds and not self.bounds[0] <= value <= self.bounds[1]:
            raise ValueError(f"{value} is not from {self.bounds[0]} to {self.bounds[1]}")
        return value


def notebook_path(name: str) -> Path:
    """Return where a notebook is stored."""
    return _FOLDER / f"{name}.ipynb"


def cells_of(name: str) -> list[Any]:
    """Return a notebook's cells."""
    return list(nbformat.read(notebook_path(name), as_version=4).cells)


def notebook_title(name: str) -> str:
    """Return a notebook's first heading."""
    for cell in cells_of(name):
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            return str(cell.source.splitlines()[0].removeprefix("# "))
    return name


def find_notebook(text: str) -> str:
    """Return the notebook that a name, its number or its word means: `04_model`, `04`, `4` or `model`."""
    text = text.removesuffix(".ipynb").removeprefix("notebooks/")
    for name in NOTEBOOKS:
        number, _, word = name.partition("_")
        if text in (name, number, number.lstrip("0"), word):
            return name
    raise ConfigError(f"No notebook {text!r}; there are {', '.join(NOTEBOOKS)}.{did_you_mean(text, NOTEBOOKS)}")


def parse_parameters(given: Iterable[str], files: Iterable[str | Path] = ()) -> dict[str, dict[str, Any]]:
    """Return the values of `[NOTEBOOK.]NAME=VALUE` texts by notebook; a name alone means every notebook that has it.

    Those of YAML files (`read_parameters`) count where no text gives the same. Raises ConfigError for an unknown
    notebook or name, a value of the wrong type, or a reserved name.
    """
    values: dict[str, dict[str, Any]] = {name: {} for name in NOTEBOOKS}
    for path in files:
        for notebook, read in read_parameters(path).items():
            values[notebook] |= read
    for text in given:
        target, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"-p {text}: expected [NOTEBOOK.]NAME=VALUE, such as -p 06_insights.top_n=20")
        notebook, _, name = target.rpartition(".")
        _set(values, f"-p {text}", notebook, name, value)
    return values


def read_parameters(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the parameters in a YAML file by notebook: `name: value`, or below a notebook's name, which counts more.

    They are checked as those of `-p` are.
    """
    path = Path(path).expanduser()
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"-f {path}: cannot be read: {explain(error)}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"-f {path}: is no valid YAML: {' '.join(str(error).split())}") from None
    return parameters_of(found, f"-f {path.name}")


def parameters_of(given: Any, where: str) -> dict[str, dict[str, Any]]:
    """Return parameters as a YAML file has them, `name: value` or `notebook: {name: value}`, checked, by notebook."""
    values: dict[str, dict[str, Any]] = {name: {} for name in NOTEBOOKS}
    if not isinstance(given, dict | None):
        raise ConfigError(f"{where}: expected lines such as 'top_n: 20', found {type(given).__name__}.")
    entries = [("", str(key), value) for key, value in (given or {}).items() if not isinstance(value, dict)]
    for key, below in (given or {}).items():
        if isinstance(below, dict):
            entries += [(str(key), str(name), value) for name, value in below.items()]
    for notebook, name, value in entries:
        place = f"{where}: {notebook}{'.' if notebook else ''}{name}"
        if value is None or isinstance(value, dict | list):
            raise ConfigError(f"{place}: expected one value, found {'none' if value is None else repr(value)}.")
        # As it is typed for -p, so that one check serves both.
        _set(values, place, notebook, name, str(value).lower() if isinstance(value, bool) else str(value))
    return values


def _set(values: dict[str, dict[str, Any]], place: str, notebook: str, name: str, value: str) -> None:
    """Set a parameter, given as text, in every notebook it is meant for; `place` is where messages say it stands."""
    chosen = [find_notebook(notebook)] if notebook else list(NOTEBOOKS)
    if name in RESERVED:
        instead = f" Use {RESERVED[name]}." if RESERVED[name] else " The run sets it itself."
        raise ConfigError(f"{place}: {name!r} is not set this way.{instead}")
    having = [n for n in chosen if name in NOTEBOOKS[n]]
    if not having:
        known = sorted({p for n in chosen for p in NOTEBOOKS[n]} - RESERVED.keys())
        where = chosen[0] if notebook else "any notebook"
        listed = f" Its parameters: {', '.join(known)}." if notebook and known else f" Known: {', '.join(known)}."
        raise ConfigError(f"{place}: no parameter {name!r} in {where}.{did_you_mean(name, known)}{listed}")
    for n in having:
        parameter = NOTEBOOKS[n][name]
        try:
            values[n][name] = parameter.parse(value)
        except (ValueError, KeyError):
            raise ConfigError(f"{place}: {n}.{name} is {parameter.allowed}, found {value!r}.") from None


def described(notebook: str) -> list[list[str]]:
    """Return a row a parameter of a notebook: name, type, default, comment, and how it is set."""
    rows = []
    for p in NOTEBOOKS[notebook].values():
        how = RESERVED.get(p.name, f"-p {notebook}.{p.name}=...") or "by the run itself"
        rows.append([p.name, p.kind.__name__, repr(p.default), p.comment, how])
    return rows


def check_parameters(notebook: str, **values: Any) -> None:
    """Raise ConfigError where a parameter that was set by hand is not within the bounds that the notebook declares."""
    for name, value in values.items():
        parameter = NOTEBOOKS[notebook][name]
        try:
            parameter.check(value)
        except (ValueError, TypeError):
            raise ConfigError(f"{notebook}: {name} is {parameter.allowed}, found {value!r}.") from None


def _declared(name: str) -> dict[str, Parameter]:
    """Read a notebook's parameters cell."""
    cell = next((cell for cell in cells_of(name) if "parameters" in cell.metadata.get("tags", [])), None)
    if cell is None:
        return {}
    lines = cell.source.splitlines()
    found = {}
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            comment = lines[(node.end_lineno or 1) - 1][node.end_col_offset :].strip().lstrip("# ")
            kind = _TYPES[ast.unparse(node.annotation)]
            found[node.target.id] = Parameter(node.target.id, kind, ast.literal_eval(node.value or "None"), comment)
    return found


def read_notebooks() -> dict[str, dict[str, Parameter]]:
    """Return the notebooks in order, each with its parameters."""
    return {path.stem: _declared(path.stem) for path in sorted(_FOLDER.glob("[0-9][0-9]_*.ipynb"))}


NOTEBOOKS = read_notebooks()
