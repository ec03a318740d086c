"""The models of the configuration, as `pipeline.yml` and a sources file spell it. Loading them is `lib.settings`."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lib.base.errors import did_you_mean
from lib.entities import ENTITIES


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shop(_Model):
    """Who the data belong to: the name on reports, the reporting currency, the business time zone, and the file of
    exchange rates (empty: there is none)."""

    name: str = Field(min_length=1)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    time_zone: str
    exchange_rates: str = ""

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


class Expected(_Model):
    """What a source, or an entity of it, states that it holds: counts, amounts, its first and last day.

    Held against the warehouse to the cent, amounts in the shop's currency.
    """

    orders: int | None = Field(None, ge=0)
    lines: int | None = Field(None, ge=0)
    customers: int | None = Field(None, ge=0)
    payments: int | None = Field(None, ge=0)
    gross_amount: Decimal | None = None
    net_amount: Decimal | None = None
    paid_amount: Decimal | None = None
    first_day: date | None = Field(None, alias="from")
    last_day: date | None = Field(None, alias="to")


class EntitySource(_Model):
    """Which column of a source is which of ours, and how its values are written; a kind adds where they lie.

    What is `optional` may fail, or hold files that cannot be read, and the run goes on.
    """

    optional: bool = False
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    timestamp_formats: tuple[str, ...] = ()
    zone_stated: bool = False
    null_values: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    codes: Literal["any", "lower", "upper"] = "any"
    expect: Expected = Expected()
    columns: dict[str, str | Derived] = {}

    @model_validator(mode="after")
    def _separators_differ(self) -> "EntitySource":
        if self.decimal == self.thousands:
            raise ValueError("'decimal' and 'thousands' are the same character")
        return self

    @property
    def reader(self) -> dict[str, Any]:
        """The options that change what is read from the same source: where they change, all is read again."""
        return {}

    @property
    def mapped(self) -> list[str]:
        """The source's columns that the mapping names."""
        names = (c.column if isinstance(c, Derived) else c for c in self.columns.values())
        return [n for n in names if n]


class Source(_Model):
    """One system of the shop and what it delivers; a kind (see `lib.sources`) adds where it is.

    Where `schema_changes` is `evolve`, a new column is kept and reported; `freeze` refuses what has one, and `discard`
    leaves it out. An `optional` source that fails is a warning, not the end of the run. An id that another system
    may have given to something else gets the prefix of its column.
    """

    kind: str
    time_zone: str = "UTC"
    schema_changes: Literal["evolve", "freeze", "discard"] = "evolve"
    optional: bool = False
    id_prefixes: dict[str, str] = {}
    expect: Expected = Expected()
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
    """The shop that `01_generate` simulates when no sources file is given, which also checks `defects`."""

    size: Literal["small", "default", "large"] = "default"
    seed: int = Field(42, ge=0)
    web_url: str = ""
    defects: dict[str, Any] = {}


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
    """How notebooks are run; `kernels: spawn` forks none, though the system allows it."""

    cell_timeout_seconds: int = Field(3600, gt=0)
    kernels: Literal["auto", "spawn"] = "auto"


class Gate(_Model):
    """What a run must reach to be published: scores in points of 100, and shares of rows and of money (1 is all of it).

    What an `allow_...` says is refused unless it is true. `accept` names checks whose finding is right for this shop:
    they refuse nothing and are not scored.
    """

    min_score: float = Field(90, ge=0, le=100)
    min_dimension: dict[Literal["completeness", "validity", "consistency", "uniqueness", "timeliness"], float] = {
        **dict.fromkeys(("completeness", "validity", "consistency", "uniqueness"), 80.0),
        "timeliness": 60.0,
    }
    max_quarantined: float = Field(0.1, ge=0, le=1)
    max_waiting: float = Field(0.5, ge=0, le=1)
    max_money_quarantined: float = Field(0.1, ge=0, le=1)
    max_money_repaired: float = Field(0.1, ge=0, le=1)
    max_money_unexplained: float = Field(0.05, ge=0, le=1)
    max_money_guessed: float = Field(0.5, ge=0, le=1)
    allow_orders_without_amounts: bool = False
    allow_no_orders_and_events: bool = False
    allow_unusable_sources: bool = False
    allow_unreadable_files: bool = False
    allow_foreign_currencies: bool = False
    accept: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _no_key_of_models(cls, values: Any) -> Any:
        for key in set(values if isinstance(values, dict) else ()) & set(Models.model_fields):
            raise ValueError(f"{key!r} is a key of 'models', not of 'quality': write models: {{{key}: {values[key]}}}")
        return values


class Models(_Model):
    """What the SQL models need to know about the shop: dbt variables of the same names."""

    unknown_customers: Literal["quarantine", "keep"] = "quarantine"
    prices_include_tax: bool = True
    late_after_hours: float = Field(24, gt=0)
    non_products: tuple[str, ...] = ()

    @field_validator("non_products")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(Match._compiles(pattern) for pattern in value)


class Config(_Model):
    """The whole of `pipeline.yml`, with the sources file laid over it."""

    shop: Shop
    data_dir: str = "data"
    output_dir: str = "outputs"
    lake: str = ""
    simulation: Simulation = Simulation()
    warehouse: Warehouse = Warehouse()
    runner: Runner = Runner()
    models: Models = Models()
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
