"""Configuration: `pipeline.yml`, an optional sources file, the environment and the command line, as one
validated `Settings` object. Every key is described in `pipeline.yml` itself.

Environment variables stand in values as `${NAME}` or `${NAME:-default}`, and secrets come in no other way.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lib.defect_rates import Defects
from lib.entities import ENTITIES
from lib.errors import ConfigError, did_you_mean

PROJECT = Path(__file__).resolve().parent.parent
CONFIG_FILE = PROJECT / "pipeline.yml"

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:[^{}]|\{[^{}]*\})*))?\}")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]+):[^/\s@]+@")
_SECRET_KEY = re.compile(r"password|secret|token|api_?key|url", re.IGNORECASE)
_secrets: set[str] = set()


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shop(_Model):
    """Who the data belong to: the name on reports, the reporting currency, the business time zone."""

    name: str = Field(min_length=1)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    time_zone: str

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no IANA time zone such as Europe/Berlin") from error
        return value


class Match(_Model):
    """One rule of a derived column: a regular expression and the value where it is found."""

    pattern: str
    value: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from error
        return value


class Derived(_Model):
    """A column that is a constant, or follows from matches on a source column."""

    constant: str | None = None
    column: str | None = None
    match: tuple[Match, ...] = ()
    default: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "Derived":
        if (self.constant is None) == (self.column is None):
            raise ValueError("give either 'constant', or 'column' with 'match' and 'default'")
        return self


class EntitySource(_Model):
    """Which column of a source is which of ours, and how its values are written; a kind adds where they lie."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    timestamp_formats: tuple[str, ...] = ()
    zone_stated: bool = False
    null_values: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    codes: Literal["any", "lower", "upper"] = "any"
    columns: dict[str, str | Derived] = {}

    @model_validator(mode="after")
    def _separators_differ(self) -> "EntitySource":
        if self.decimal == self.thousands:
            raise ValueError("'decimal' and 'thousands' are the same character")
        return self

    @property
    def reader(self) -> dict[str, Any]:
        """The options that change what is read from the same source: where they change, all is taken anew."""
        return {}

    @property
    def mapped(self) -> list[str]:
        """The source's columns that the mapping names."""
        names = (c.column if isinstance(c, Derived) else c for c in self.columns.values())
        return [n for n in names if n]


class Source(_Model):
    """One system of the shop and what it delivers; a kind (see `lib.sources`) adds where it is.

    Where `schema_changes` is `evolve`, a new column is kept and reported; `freeze` refuses what has one, and `discard`
    takes the rest. An `optional` source that fails is a warning, not the end of the run. An id that another system
    may have given to something else gets the prefix of its column.
    """

    kind: str
    time_zone: str = "UTC"
    schema_changes: Literal["evolve", "freeze", "discard"] = "evolve"
    optional: bool = False
    id_prefixes: dict[str, str] = {}
    entities: Mapping[str, EntitySource] = Field(min_length=1)

    _zone = field_validator("time_zone")(Shop._known_zone.__func__)  # type: ignore[attr-defined]

    @model_validator(mode="after")
    def _known_entities(self) -> "Source":
        for name, spec in self.entities.items():
            if name not in ENTITIES:
                raise ValueError(
                    f"unknown entity {name!r}; known are {', '.join(ENTITIES)}.{did_you_mean(name, ENTITIES)}"
                )
            entity = ENTITIES[name]
            for column in (*spec.columns, *spec.required):
                if column not in entity.names:
                    raise ValueError(
                        f"{name} has no column {column!r}.{did_you_mean(column, entity.names)}"
                        f" Its columns are {', '.join(entity.names)}"
                    )
            missing = [c.name for c in entity.columns if c.required and spec.columns and c.name not in spec.columns]
            if missing:
                raise ValueError(f"{name}.columns lacks the required {', '.join(missing)}")
        ids = sorted({c.name for e in self.entities for c in ENTITIES[e].columns if c.kind == "id"})
        for column in self.id_prefixes:
            if column not in ids:
                hint = did_you_mean(column, ids)
                raise ValueError(f"id_prefixes: no id column {column!r}.{hint} There are {', '.join(ids)}")
        return self


class Simulation(_Model):
    """The shop that `01_generate` simulates when no sources file is given."""

    size: Literal["small", "default", "large"] = "default"
    seed: int = Field(42, ge=0)
    web_url: str = ""
    defects: Defects = Defects()


class Postgres(_Model):
    """How long a session on a PostgreSQL server waits, and how much memory each sort or join of it may take there."""

    statement_timeout_seconds: int = Field(3600, gt=0)
    lock_timeout_seconds: int = Field(60, gt=0)
    work_mem: str = Field("128MB", pattern=r"^\d+[kMG]B$")


class Warehouse(_Model):
    """The engine that runs work on, and its limits."""

    target: Literal["duckdb", "postgres"] = "duckdb"
    memory_limit: str = Field("3GB", pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$")
    threads: int = Field(0, ge=0)
    postgres: Postgres = Postgres()


class Runner(_Model):
    """How notebooks are run."""

    cell_timeout_seconds: int = Field(3600, gt=0)


class Gate(_Model):
    """What a run must reach to be published, in points of 100."""

    min_score: float = Field(90, ge=0, le=100)
    min_dimension: dict[Literal["completeness", "validity", "consistency", "uniqueness", "timeliness"], float] = {}
    unknown_customers: Literal["quarantine", "keep"] = "quarantine"
    prices_include_tax: bool = True
    late_after_hours: float = Field(24, gt=0)


class Config(_Model):
    """The whole of `pipeline.yml`, with the sources file laid over it."""

    shop: Shop
    data_dir: str = "data"
    output_dir: str = "outputs"
    lake: str = ""
    simulation: Simulation = Simulation()
    warehouse: Warehouse = Warehouse()
    runner: Runner = Runner()
    quality: Gate = Gate()
    sources: dict[str, Source] = Field(min_length=1)

    @field_validator("sources")
    @classmethod
    def _safe_names(cls, value: dict[str, Source]) -> dict[str, Source]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
                raise ValueError(
                    f"a source's name is 1 to 40 of a-z, 0-9 and _, starting with a letter; found {name!r}"
                )
        return value


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
    def identity(self) -> dict[str, Any]:
        """What tells this shop's data from another's; a lake belongs to one identity.

        A simulated shop is what its own marker says it is: only 01_generate is told a size and a seed, and which
        generator made it is known only where its systems are.
        """
        if not self.simulated:
            return {"shop": self.shop_id}
        own: dict[str, Any] = {"size": self.size, "seed": self.seed}
        marker = self.marker
        own = {key: marker[key] for key in (*own, "generator", "defects") if key in marker} or own
        return {"shop": "simulated"} | own

    @property
    def marker(self) -> dict[str, Any]:
        """What a simulated shop's systems say of themselves (see `lib.shop.opening`), empty where they say nothing."""
        found: Any = {}
        if self.simulated:
            with contextlib.suppress(OSError, ValueError):
                found = json.loads((self.data_dir / "sources" / "shop.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}


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


def mask(text: str) -> str:
    """Return the text without passwords in URLs and without the values of secret variables."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _URL_PASSWORD.sub(r"\1:***@", text)


def keep_secret(text: str) -> None:
    """Let `mask` take a text out of everything that is written from now on."""
    if len(text) >= 4:
        _secrets.add(text)


def fingerprint(value: Any) -> str:
    """Return 16 hex digits that follow from a JSON-like value's content."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
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
        raise ConfigError(_describe(error, where, Config)) from None


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
        raise ConfigError(_describe(error, where, model, f"sources.{name}")) from None


def _describe(error: ValidationError, where: str, root: type[BaseModel], prefix: str = "") -> str:
    """Turn pydantic's findings into one line each: file, key, what was found, what was expected."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in (prefix, *fault["loc"]) if part and part not in ("str", "Derived"))
        if fault["type"] == "extra_forbidden":
            model = _model_at(fault["loc"][:-1], root)
            known = list(model.model_fields) if model else []
            expected = f" Known keys: {', '.join(known)}." if known else ""
            lines.append(f"{where}: unknown key {key!r}.{did_you_mean(str(fault['loc'][-1]), known)}{expected}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
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
    """Return the model in a type, also where it stands in a union or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
