"""Where each of our columns comes from in a source's raw rows: a `Cell` a column, as the mapping of the source says.

How the value of a cell is read from there is in `lib.cells.reading`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from lib.base.quoting import quoted, text_literal
from lib.cells import formats
from lib.config import ColumnMapping, EntitySource, Source
from lib.entities import Column

#: What may be wrong with the raw values of a column: needless blanks or misencoded letters (`untidy`), texts decoded
#: with the wrong encoding, texts that the source's own form does not explain, times out of bounds, codes or names that
#: are invalid or in unusual capitals, required values that are missing, times that state no zone.
Symptom = Literal["untidy", "misencoded", "unreadable", "out_of_bounds", "noncanonical", "missing", "zoneless"]

#: Those that are looked for where nobody has inspected the rows; repairing an encoding needs a list of texts first.
SYMPTOMS: frozenset[Symptom] = frozenset(get_args(Symptom)) - {"misencoded"}

Role = Literal["", "code", "name", "email", "country", "currency"]

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("status", "channel", "method", "event_type", "device"), "code"),
    **dict.fromkeys(("first_name", "last_name", "city"), "name"),
    "email": "email",
    "country": "country",
    "currency": "currency",
}


@dataclass(frozen=True)
class Cell:
    """One of our columns as a source delivers it.

    `raw` is the SQL of its raw value over the raw rows `r`, `source_column` the raw column that it is, empty where the
    mapping alone states the value. `is_text` is true where the source has text; where it has a fitting type, `typed` is
    the SQL of our type over `x`. `default` and `prefix` are what the mapping adds to a text, as SQL. Only rules against
    `symptoms` are applied.
    """

    column: Column
    raw: str
    source_column: str = ""
    is_text: bool = False
    typed: str = ""
    default: str = ""
    prefix: str = ""
    symptoms: frozenset[Symptom] = SYMPTOMS

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def kind(self) -> str:
        return self.column.kind

    @property
    def is_free(self) -> bool:
        """Whether any text is a value here."""
        return self.kind in ("text", "id")

    @property
    def is_parsed(self) -> bool:
        """Whether a number or a time is to be read from text."""
        return not (self.typed or self.is_free or self.kind == "boolean")

    @property
    def role(self) -> Role:
        """What kind of code, name or address a source's own text is, if any."""
        if not self.source_column or self.kind != "text":
            return ""
        return _ROLES.get(self.name.removeprefix("customer_").removeprefix("product_"), "")


def cells(columns: Iterable[Column], spec: EntitySource, source: Source, types: dict[str, str]) -> list[Cell]:
    """Return some of our columns as a source delivers them; `types` has the DuckDB type of each of its raw columns."""
    return [_cell(column, spec, source, types) for column in columns]


def _cell(column: Column, spec: EntitySource, source: Source, types: dict[str, str]) -> Cell:
    prefix = text_literal(source.id_prefixes[column.name]) if column.name in source.id_prefixes else ""
    mapping = spec.columns.get(column.name) if spec.columns else ColumnMapping(column=(column.name,))
    default, name = "", None
    if mapping is not None:
        if mapping.constant is not None:
            return Cell(column, text_literal(mapping.constant), prefix=prefix)
        name = next((n for n in mapping.column if n in types), None)
        if mapping.match:
            return Cell(column, _matched(mapping, name, spec), prefix=prefix)
        default = text_literal(mapping.default) if mapping.default is not None else ""
    if name is None:
        if default:
            return Cell(column, default, prefix=prefix)
        return Cell(column, f"cast(null as {column.sql_type})", typed=f"x.raw_{column.name}")
    raw, kind = f"r.{quoted(name)}", types[name]
    typed = _from_type(column, kind, source.time_zone)
    if typed and not spec.null_values and not default:
        return Cell(column, raw, source_column=name, typed=typed)
    is_text = kind == "VARCHAR"
    raw = raw if is_text else f"cast({raw} as varchar)"
    return Cell(column, raw, source_column=name, is_text=is_text, default=default, prefix=prefix)


def _matched(mapping: ColumnMapping, name: str | None, spec: EntitySource) -> str:
    """Return the SQL of a value that depends on which pattern a raw column matches."""
    default = text_literal(mapping.default) if mapping.default is not None else "cast(null as varchar)"
    if name is None:
        return default
    text = f"nullif(without_blanks_around(cast(r.{quoted(name)} as varchar)), '')"
    text = without_nulls(text, spec)
    cases = " ".join(
        f"when regexp_matches({text}, {text_literal(m.pattern)}) then {text_literal(m.value or '')}"
        for m in mapping.match
    )
    return f"case {cases} else {default} end"


def without_nulls(text: str, spec: EntitySource) -> str:
    """Return the SQL of a text, null where it is one of the words by which the source means no value."""
    for word in spec.null_values:
        text = f"nullif({text}, {text_literal(word)})"
    return text


def _from_type(column: Column, kind: str, time_zone: str) -> str:
    """Return the SQL of our type where a raw column has a fitting one; nothing where its text is to be read."""
    raw = f"x.raw_{column.name}"
    is_whole = kind.removeprefix("U").removesuffix("EGER").endswith("INT")
    match column.kind:
        case "amount" | "quantity" | "measure" if is_whole or kind.startswith("DECIMAL"):
            return f"try_cast({raw} as {column.sql_type})"
        case "boolean" if kind == "BOOLEAN":
            return raw
        case "timestamp" if kind == "TIMESTAMP WITH TIME ZONE":
            return f"timezone('UTC', {raw})"
        case "timestamp" if kind == "DATE" or kind.startswith("TIMESTAMP"):
            return formats.to_utc(f"cast({raw} as timestamp)", time_zone)
    return ""
