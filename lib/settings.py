"""Loading the configuration: `pipeline.yml`, an optional sources file, the environment and the command line, as one
validated `Settings` object. Every key is described in `pipeline.yml` itself.

Values name environment variables as `${NAME}` or `${NAME:-default}`, and secrets come in no other way.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from lib.base.errors import ConfigError, did_you_mean
from lib.base.files import PROJECT
from lib.base.secrets import _URL_PASSWORD, keep_secret, mask
from lib.config import Config, Shop, Simulation

CONFIG_FILE = PROJECT / "pipeline.yml"


_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:[^{}]|\{[^{}]*\})*))?\}")


_SECRET_KEY = re.compile(r"password|secret|token|api_?key|url", re.IGNORECASE)

# The loader in C reads pipeline.yml ten times as fast; it is not in every build of PyYAML.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Settings:
    """What a run or a notebook works with: the configuration and the resolved places."""

    config: Config
    shop_id: str
    sources_file: Path | None
    data_dir: Path
    output_dir: Path
    lake_url: str
    size: str
    seed: int
    as_of: date | None

    @property
    def shop(self) -> Shop:
        return self.config.shop

    @property
    def work_dir(self) -> Path:
        """The folder for private copies and scratch files, made where it is missing."""
        folder = self.data_dir / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def on(self, target: str) -> "Settings":
        """Return the same settings with another engine."""
        if target == self.config.warehouse.target:
            return self
        warehouse = self.config.warehouse.model_copy(update={"target": target})
        return replace(self, config=self.config.model_copy(update={"warehouse": warehouse}))

    @property
    def simulated(self) -> bool:
        return self.sources_file is None

    @property
    def origin(self) -> dict[str, Any]:
        """What the folder of the shop's own systems states in `shop.json`, empty where there is none.

        `identity` distinguishes these data from another shop's, `as_of` is the day they reach, also ahead of the clock.
        """
        found: Any = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.data_dir / "sources" / "shop.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}

    @property
    def identity(self) -> dict[str, Any]:
        """What distinguishes this shop's data from another's; a lake belongs to one identity.

        Without a sources file the shop is what its systems say it is, as only 01_generate is given a size and a seed.
        """
        if self.sources_file:
            return {"shop": self.shop_id}
        return {"shop": self.shop_id, "size": self.size, "seed": self.seed} | self.origin.get("identity", {})


def load_settings(
    *,
    sources: str | Path = "",
    size: str = "",
    data_dir: str | Path = "",
    output_dir: str | Path = "",
    as_of: str | date = "",
    target: str = "",
    seed: int | None = None,
    config_file: Path = CONFIG_FILE,
) -> Settings:
    """Read, merge and validate the configuration; an empty argument means "as the files say".

    Relative paths start at the project's folder. A simulated shop other than the configured one and every
    real shop keep their data in a folder of their own below `data_dir`, so that two shops never mix.

    Raises ConfigError, naming file and key, for anything unusable.
    """
    values = _read_yaml(config_file)
    sources_file = _existing_file(sources) if sources else None
    where = config_file.name
    if sources_file:
        where = sources_file.name
        overlay = _read_yaml(sources_file)
        if "sources" not in overlay or "shop" not in overlay:
            raise ConfigError(f"{sources_file}: expected the keys 'shop' and 'sources', found {sorted(overlay)}.")
        values = {**values, **overlay}
    if target:
        values["warehouse"] = {**(values.get("warehouse") or {}), "target": target}
    if size:
        values["simulation"] = {**(values.get("simulation") or {}), "size": size}
    folder = Path(data_dir) if data_dir else None
    config = _validated(values, where, data_dir=str(folder or "data"))

    configured = Simulation.model_validate(
        _substitute(_read_yaml(config_file).get("simulation") or {}, config_file.name)
    )
    seed = config.simulation.seed if seed is None else seed
    shop_id = sources_file.stem if sources_file else "simulated"
    resolved = _resolve(folder or config.data_dir)
    if not folder:
        if sources_file:
            resolved = resolved / "shops" / shop_id
        elif (config.simulation.size, seed) != (configured.size, configured.seed):
            suffix = f"-{seed}" if seed != configured.seed else ""
            resolved = resolved / "shops" / f"simulated-{config.simulation.size}{suffix}"
        # The sources' own `{data_dir}` follows the shop's folder.
        config = _validated(values, where, data_dir=str(resolved))
    return Settings(
        config=config,
        shop_id=shop_id,
        sources_file=sources_file,
        data_dir=resolved,
        output_dir=_resolve(output_dir or config.output_dir),
        lake_url=config.lake or str(resolved / "lake"),
        size=config.simulation.size,
        seed=seed,
        as_of=_as_date(as_of),
    )


def _resolve(path: str | Path) -> Path:
    path = Path(path).expanduser()
    return path.resolve() if path.is_absolute() else (PROJECT / path).resolve()


def _existing_file(path: str | Path) -> Path:
    given = Path(path).expanduser()
    for candidate in (given, PROJECT / given):
        if candidate.is_file():
            return candidate.resolve()
    near = did_you_mean(given.name, [p.name for p in (PROJECT / given).parent.glob("*.y*ml")])
    raise ConfigError(f"No sources file {str(path)!r} (looked in {Path.cwd()} and {PROJECT}).{near}")


def _as_date(value: str | date) -> date | None:
    if isinstance(value, date) or not value:
        return value or None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"--as-of: expected a date such as 2025-12-31, found {value!r}.") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(f"No configuration file {path}. Restore it with: git checkout {path.name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}.")
    return values


def _substitute(value: Any, where: str, key: str = "", **words: str) -> Any:
    """Replace `${NAME}`, `${NAME:-default}` and `{data_dir}` in every string below `value`."""
    if isinstance(value, dict):
        return {k: _substitute(v, where, f"{key}.{k}" if key else str(k), **words) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, where, f"{key}[{i}]", **words) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        text = os.environ.get(name) or default
        if text is None:
            raise ConfigError(
                f"{where}: {key} needs the environment variable {name}, which is not set. Set it: {name}=..."
            )
        if _SECRET_KEY.search(f"{key} {name}") and not _URL_PASSWORD.search(text):
            keep_secret(text)
        return text

    text = _VARIABLE.sub(variable, value)
    for word, replacement in words.items():
        text = text.replace("{" + word + "}", replacement)
    return text


def _validated(values: dict[str, Any], where: str, **words: str) -> Config:
    values = _substitute(values, where, **words)
    given = values.get("sources")
    if isinstance(given, dict):
        values = {**values, "sources": {name: _source(name, source, where) for name, source in given.items()}}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, where, Config)) from None


def _source(name: str, values: Any, where: str) -> Any:
    """Return a source as its kind's model; what is no mapping is left for `Config` to complain of."""
    from lib.sources import KINDS, source_model

    if not isinstance(values, dict):
        return values
    kind = values.get("kind")
    if kind not in KINDS:
        found = "is missing" if kind is None else f"{kind!r} is unknown.{did_you_mean(str(kind), KINDS)}"
        raise ConfigError(f"{where}: sources.{name}.kind: {found} (known kinds: {', '.join(KINDS)})")
    model = source_model(kind)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, where, model, f"sources.{name}")) from None


def describe(error: ValidationError, where: str, root: type[BaseModel], prefix: str = "") -> str:
    """Turn pydantic's findings into one line each: file, key, what was found, what was expected."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in (prefix, *fault["loc"]) if part)
        if fault["type"] == "extra_forbidden":
            model = _model_at(fault["loc"][:-1], root)
            known = [field.alias or name for name, field in model.model_fields.items()] if model else []
            expected = f" Known keys: {', '.join(known)}." if known else ""
            lines.append(f"{where}: unknown key {key!r}.{did_you_mean(str(fault['loc'][-1]), known)}{expected}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            if fault["type"] == "string_pattern_mismatch" and fault["loc"][-1] == "currency":
                message = "expected the ISO 4217 code of a currency, such as EUR"
            found = "" if isinstance(fault["input"], dict) else f" (found {mask(repr(fault['input']))})"
            lines.append(f"{where}: {key}: {message}{found}")
    return "\n".join(dict.fromkeys(lines))


def _model_at(loc: tuple[int | str, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model that a location in the configuration belongs to."""
    model: type[BaseModel] | None = root
    steps = iter(loc)
    for step in steps:
        if model and str(step) in model.model_fields:
            annotation = model.model_fields[str(step)].annotation
            if get_origin(annotation) in (dict, Mapping):
                next(steps, None)
            model = _model_in(annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a type, also within a union or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
