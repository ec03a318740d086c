"""The models of the configuration, as `pipeline.yml` and a sources file spell it. Loading them is `lib.settings`."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from lib.base.errors import did_you_mean
from lib.base.expressions import parse, resolve
from lib.entities import ENTITIES

#: Columns that the lake adds to raw rows; an expression may use the name of the row's file.
LAKE_COLUMNS = ("_file", "_row")

NUMBERS, TIMES = ("amount", "quantity", "measure"), ("timestamp",)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone such as Europe/Berlin") from error
    return value


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
        return _zone(value)


def _scalar(value: Any) -> Any:
    """Return a value of YAML as the text that somebody would write for it: `constant: 1` is as good as "1"."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | Decimal | date) else value


def _listed(value: Any) -> Any:
    """Return one name as a list of one; YAML reads a bare `no` or `on` as false or true."""
    names = list(value) if isinstance(value, list | tuple) else [value]
    for name in names:
        if isinstance(name, bool):
            raise ValueError(f"YAML reads a bare yes, no, on or off as {str(name).lower()}: put the name into quotes")
    if not names:
        raise ValueError("name at least one column")
    return [_scalar(name) for name in names]


Text = Annotated[str, BeforeValidator(_scalar)]
#: A text alone is a list of one.
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)]


class Match(_Model):
    """One rule for a text: a regular expression, and the value where it is found; null empties it."""

    pattern: str
    value: Text | None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from error
        return value


class By(_Model):
    """A value of this row by which another table is searched: a column, or an expression. A name alone is a column."""

    column: str = ""
    sql: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict | By) else {"column": _listed(value)[0]}

    @field_validator("sql")
    @classmethod
    def _is_expression(cls, value: str) -> str:
        return _expression(value)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.column) == bool(self.sql):
            raise ValueError("give a column of this row, or {sql: ...}")
        return self


class Lookup(BaseModel):
    """A value in another table of the source: where the columns `key` there are what `by` is here, their `value`.

    All other keys say where the table is and how it is read; a kind of source knows which there are.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    key: Names
    by: Annotated[tuple[By, ...], BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value])]
    value: Annotated[str, BeforeValidator(lambda value: _listed(value)[0] if value else value), Field(min_length=1)]

    @property
    def options(self) -> dict[str, Any]:
        """Where the table is, and how it is read."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.key) != len(self.by):
            raise ValueError(f"'key' has {len(self.key)} columns and 'by' {len(self.by)}; each needs one of the other")
        return self


class ColumnMapping(_Model):
    """Where the values of one of our columns come from in a raw row, and what becomes of them on the way.

    Exactly one of `column` (the first of its names that is there), `constant`, `sql` and `lookup` gives the value.
    `match` and `values` translate it, `default_column` and then `default` stand in where there is none. A name alone,
    or a list of names, is short for `column`.
    """

    column: Names = ()
    constant: Text | None = None
    sql: str = ""
    lookup: Lookup | None = None
    optional: bool = False
    match: tuple[Match, ...] = ()
    values: dict[Text, Text | None] = {}
    otherwise: Text | None = None
    default_column: Names = ()
    default: Text | None = None
    factor: Decimal | None = None
    date: bool = False
    zone: Names = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is one column of the source, as it stands."""
        return len(self.column) == 1 and set(self.model_dump(exclude_defaults=True)) <= {"column", "optional"}

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict | ColumnMapping) else {"column": value}

    @field_validator("sql")
    @classmethod
    def _is_expression(cls, value: str) -> str:
        if not value.strip():
            raise ValueError('an expression is expected, such as \'"Item total" / "Quantity"\'')
        return _expression(value)

    @field_validator("factor", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        return _scalar(value)

    @model_validator(mode="after")
    def _one_origin(self) -> "ColumnMapping":
        given = [key for key in ("column", "constant", "sql", "lookup") if key in self.model_fields_set]
        if len(given) != 1:
            together = f", not {' and '.join(given)} together" if given else ""
            raise ValueError(f"give one of 'column', 'constant', 'sql' and 'lookup'{together}")
        if self.constant is not None and (lone := self.model_fields_set - {"constant"}):
            raise ValueError(f"a constant is the same in every row, so {', '.join(sorted(lone))} has nothing to do")
        if self.otherwise is not None and not (self.match or self.values):
            raise ValueError("'otherwise' is for what no pattern of 'match' and no word of 'values' names; give these")
        if self.factor is not None and not (self.factor.is_finite() and self.factor):
            raise ValueError("'factor' is a number other than 0")
        folded: dict[str, str] = {}
        for word in self.values:
            if (other := folded.setdefault(word.casefold(), word)) != word:
                raise ValueError(f"'values' has {other!r} and {word!r}, which are compared without regard to capitals")
        return self


@dataclass(frozen=True)
class Use:
    """What a mapping reads of a raw row: one of some `names`, for what of ours; `optional` where it may be missing."""

    ours: str
    names: tuple[str, ...]
    optional: bool = False

    def __str__(self) -> str:
        return " or ".join(map(repr, self.names))

    def is_in(self, header: Collection[str]) -> bool:
        return any(name in header for name in self.names)


def _check_numbers(place: str, mapping: ColumnMapping) -> None:
    """Raise ValueError where a mapping states a value for a column of numbers that is none."""
    translated = [(f"values.{word}", ours) for word, ours in mapping.values.items()]
    translated += [("match", rule.value) for rule in mapping.match]
    stated = [(key, getattr(mapping, key)) for key in ("constant", "default", "otherwise")] + translated
    for key, value in stated:
        if value is None or (key == "otherwise" and value == "keep"):
            continue
        try:
            is_number = Decimal(value).is_finite()
        except InvalidOperation:
            is_number = False
        if not is_number:
            raise ValueError(f"{place}.{key}: {value!r} is no number; write it with a decimal point")


def _expression(text: str) -> str:
    if text:
        parse(text)
    return text


def _uses_of(ours: str, text: str, header: Collection[str] | None, optional: bool = False) -> list[Use]:
    """Return what an expression reads; the spelling of its names is that of the header where there is one."""
    uses = []
    for parts in parse(text).columns:
        name = resolve(parts, header or ())[0] or ".".join(parts)
        if name not in LAKE_COLUMNS:
            uses.append(Use(ours, (name,), optional))
    return uses


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
    timestamp_formats: Texts = ()
    zone_stated: bool = False
    null_values: Texts = ()
    required: Texts = ()
    codes: Literal["any", "lower", "upper"] = "any"
    equal_lines: Literal["keep", "merge"] = "keep"
    expect: Expected = Expected()
    where: str = ""
    fill_down: Texts = ()
    missing_prices: Literal["refuse", "list_price"] = "refuse"
    columns: dict[str, ColumnMapping] = {}

    #: The keys that say where a table is that values are looked up in, and those that say how it is read.
    table_places: ClassVar[tuple[str, ...]] = ()
    table_options: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _separators_differ(self) -> "EntitySource":
        if self.decimal == self.thousands:
            raise ValueError("'decimal' and 'thousands' are the same character")
        return self

    def restates(self, entity: str, is_numbered: bool) -> bool:
        """Whether a document states its orders anew, so that an order's newest statement counts whole.

        `is_numbered`: whether the rows have ids of their own. Otherwise the rows of all documents add up.
        """
        return False

    @property
    def reader(self) -> dict[str, Any]:
        """The options that change what is read from the same source: where they change, all is read again."""
        return {}

    @field_validator("where")
    @classmethod
    def _is_expression(cls, value: str) -> str:
        return _expression(value)

    @property
    def lookups(self) -> dict[str, Lookup]:
        """By our column, what is looked up in another table."""
        return {ours: mapping.lookup for ours, mapping in self.columns.items() if mapping.lookup}

    def table_of(self, lookup: Lookup) -> Self:
        """Return what says how the table of a lookup is read: only its key and value must be there.

        Raises ValueError where the lookup does not say where it is, or has a key that the kind does not know.
        """
        if not self.table_places:
            raise ValueError("a source of this kind has no other tables to look values up in")
        places = " or ".join(map(repr, self.table_places))
        known = (*self.table_places, *self.table_options)
        for key in lookup.options:
            if key not in known:
                others = ("key", "by", "value", *known)
                raise ValueError(f"unknown key {key!r}.{did_you_mean(key, others)} There are {', '.join(others)}")
        if sum(bool(lookup.options.get(key)) for key in self.table_places) != 1:
            raise ValueError(f"say where the value is: {places}")
        names = dict.fromkeys([*lookup.key, lookup.value])
        options = self.as_here(lookup) | lookup.options
        return type(self).model_validate({**options, "columns": {name: name for name in names}})

    def as_here(self, lookup: Lookup) -> dict[str, Any]:
        """Return the options of reading that a lookup's table shares with the entity unless it has its own."""
        return {}

    @model_validator(mode="after")
    def _lookups_have_tables(self) -> Self:
        for ours, lookup in self.lookups.items():
            try:
                self.table_of(lookup)
            except ValidationError as error:
                found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                raise ValueError(f"columns.{ours}.lookup: {found}") from None
            except ValueError as error:
                raise ValueError(f"columns.{ours}.lookup: {error}") from None
        return self

    @property
    def mapped(self) -> list[str]:
        """The source's columns that the mapping names, in an expression too."""
        return list(dict.fromkeys(name for use in self._uses(None) for name in use.names))

    def column_named(self, ours: str) -> str:
        """Return the source's column that is one of ours as it stands, empty where the mapping does more."""
        if not self.columns:
            return ours
        mapping = self.columns.get(ours)
        return mapping.column[0] if mapping and mapping.is_plain else ""

    def uses(self, entity: str, header: Collection[str] | None = None) -> list[Use]:
        """Return what is read of an entity's raw rows; where there is no mapping, the names are ours.

        Names in expressions are those of the header where they differ from it in capitals alone.
        """
        uses = self._uses(header)
        if self.columns:
            return uses
        return uses + [Use(c.name, (c.name,), not c.required) for c in ENTITIES[entity].columns]

    def missing(self, entity: str, header: Collection[str]) -> list[Use]:
        """Return what a raw row must have and this header does not: the first is the one to complain of."""
        return [use for use in self.uses(entity, header) if not use.optional and not use.is_in(header)]

    def _uses(self, header: Collection[str] | None) -> list[Use]:
        uses = []
        for ours, mapping in self.columns.items():
            named = [n for n in (mapping.column, mapping.default_column, mapping.zone) if n]
            uses += [Use(ours, names, mapping.optional) for names in named]
            if mapping.sql:
                uses += _uses_of(ours, mapping.sql, header, mapping.optional)
            for by in mapping.lookup.by if mapping.lookup else ():
                if by.column:
                    uses.append(Use(ours, (by.column,), mapping.optional))
                uses += _uses_of(ours, by.sql, header, mapping.optional) if by.sql else []
        return uses + (_uses_of("where", self.where, header) if self.where else [])


class Source(_Model):
    """One system of the shop and what it delivers; a kind (see `lib.sources`) adds where it is.

    Where `schema_changes` is `evolve`, a new column is kept and reported; `freeze` refuses what has one, and `discard`
    leaves it out. An `optional` source that fails is a warning, not the end of the run. An id that another system
    may have given to something else gets the prefix of its column.
    """

    kind: str
    time_zone: str = ""
    schema_changes: Literal["evolve", "freeze", "discard"] = "evolve"
    optional: bool = False
    id_prefixes: dict[str, str] = {}
    expect: Expected = Expected()
    entities: Mapping[str, EntitySource] = Field(min_length=1)

    _shop_zone: str = PrivateAttr("")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _zone(value) if value else value

    @property
    def zone(self) -> str:
        """The zone of times that state none: its own, else the shop's."""
        return self.time_zone or self.shop_zone

    @property
    def shop_zone(self) -> str:
        """The shop's zone: a value without a time of day is a business date there, whatever the source's zone."""
        return self._shop_zone or self.time_zone or "UTC"

    def of_shop(self, shop: Shop) -> None:
        """Note the shop that it is a source of."""
        self._shop_zone = shop.time_zone

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
                kind = entity.column(column).kind
                mapping = spec.columns.get(column)
                for key, kinds in (("factor", NUMBERS), ("date", TIMES), ("zone", TIMES)):
                    if mapping and getattr(mapping, key) and kind not in kinds:
                        raise ValueError(f"{name}.columns.{column}.{key}: {column} is no {' or '.join(kinds)}")
                if mapping and kind in NUMBERS:
                    _check_numbers(f"{name}.columns.{column}", mapping)
            for column in spec.fill_down:
                if column not in (spec.columns or entity.names):
                    hint = did_you_mean(column, spec.columns or entity.names)
                    raise ValueError(f"{name}.fill_down: no column {column!r} is mapped.{hint}")
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


class NotebookLimits(_Model):
    """What holds for one notebook; what is left out is as for all."""

    cell_timeout_seconds: int | None = Field(None, ge=0)
    notebook_timeout_seconds: int | None = Field(None, ge=0)
    retries: int | None = Field(None, ge=0, le=100)


class Runner(_Model):
    """How notebooks are run; `kernels: spawn` forks none, though the system allows it.

    A notebook is run again, `retries` times at most, after an error that can pass by itself; before that it waits, each
    time twice as long as the time before. `notebooks` gives limits of their own to some. 0 seconds are no limit.
    """

    cell_timeout_seconds: int = Field(3600, ge=0)
    notebook_timeout_seconds: int = Field(0, ge=0)
    retries: int = Field(2, ge=0, le=100)
    retry_wait_seconds: float = Field(10, ge=0)
    retry_longest_wait_seconds: float = Field(300, ge=0)
    notebooks: dict[str, NotebookLimits] = {}
    kernels: Literal["auto", "spawn"] = "auto"


class Flow(_Model):
    """Notebooks that run as one, by name or by the clock: which (none named: all), and with what parameters.

    `full_refresh` rebuilds from the lake; `as_of: today` lets the simulated shop go on to the day of the run. `cron`
    says when `schedule` runs it (empty: never), by a clock of `time_zone` (empty: the shop's). `skip_unchanged` leaves
    out what has not changed where `schedule` or `watch` runs it.
    """

    description: str = ""
    stages: tuple[Text, ...] = ()
    parameters: dict[str, Any] = {}
    full_refresh: bool = False
    as_of: Literal["", "today"] = ""
    skip_unchanged: bool = True
    cron: str = ""
    time_zone: str = ""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _zone(value) if value else ""


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


OrderState = Literal["sale", "pending", "cancelled", "returned", "failed", "unclear"]
EventKind = Literal["view", "product_view", "search", "add_to_cart", "removal", "checkout", "purchase", "other"]


class Models(_Model):
    """What the SQL models need to know about the shop: dbt variables of the same names."""

    unknown_customers: Literal["quarantine", "keep"] = "quarantine"
    prices_include_tax: bool = True
    late_after_hours: float = Field(24, gt=0)
    non_products: tuple[str, ...] = ()
    statuses: dict[str, OrderState] = {}
    events: dict[str, EventKind] = {}

    @field_validator("non_products")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(Match._compiles(pattern) for pattern in value)


class Mail(_Model):
    """An e-mail by SMTP."""

    to: tuple[Text, ...] = Field(min_length=1)
    sender: Text
    host: Text
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""


class Hook(_Model):
    """Who is told of what, by one of three ways; a webhook without an address is off."""

    events: tuple[Literal["failed", "recovered", "refused", "published", "late"], ...] = (
        "failed",
        "recovered",
        "refused",
    )
    webhook: str | None = None
    email: Mail | None = None
    command: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> "Hook":
        if (self.webhook is not None) + (self.email is not None) + bool(self.command) != 1:
            raise ValueError("expected one of webhook, email and command")
        if self.webhook and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("webhook: expected an address that starts with https:// or http://")
        return self

    @property
    def kind(self) -> str:
        return "webhook" if self.webhook is not None else "email" if self.email else "command"

    @property
    def is_on(self) -> bool:
        return bool(self.webhook or self.email or self.command)


class Notify(_Model):
    """Whom a run tells how it ended; `link` is where the output folder is served, empty: links are to its files."""

    link: str = ""
    late_after_minutes: float = Field(0, ge=0)
    hooks: tuple[Hook, ...] = ()


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
    flows: dict[str, Flow] = {}
    notify: Notify = Notify()
    sources: dict[str, Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _sources_know_their_shop(self) -> "Config":
        for source in self.sources.values():
            source.of_shop(self.shop)
        return self

    @field_validator("flows")
    @classmethod
    def _plain_names(cls, value: dict[str, Flow]) -> dict[str, Flow]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name):
                raise ValueError(f"a flow's name is 1 to 60 of a-z, 0-9 and _, starting with a letter; found {name!r}")
        return value

    @field_validator("sources")
    @classmethod
    def _safe_names(cls, value: dict[str, Source]) -> dict[str, Source]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
                raise ValueError(
                    f"a source's name is 1 to 40 of a-z, 0-9 and _, starting with a letter; found {name!r}"
                )
        return value
