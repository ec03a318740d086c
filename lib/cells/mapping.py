"""Where each of our columns comes from in a source's raw rows: a `Cell` a column, as the mapping of the source says.

How the value of a cell is read from there is in `lib.cells.reading`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from lib.base.quoting import quoted, text_literal
from lib.cells import formats
from lib.cells.formats import Zones
from lib.cells.rows import RawRows, first_stated, is_blank
from lib.config import NUMBERS, ColumnMapping, EntitySource, Source
from lib.entities import Column

#: What may be wrong with the raw values of a column: needless blanks, misencoded letters or marks of a spreadsheet
#: (`untidy`), texts decoded with the wrong encoding, a spreadsheet's error texts, texts that the source's own form does
#: not explain, times out of bounds, codes or names that are invalid or in unusual capitals, required values that are
#: missing, times that state no zone, ids that a spreadsheet rounded, values that an expression cannot be computed from.
Symptom = Literal[
    "untidy",
    "misencoded",
    "error_text",
    "unreadable",
    "out_of_bounds",
    "noncanonical",
    "missing",
    "zoneless",
    "damaged",
    "troubled",
]

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

#: Texts beside ids that spreadsheets take for numbers unless they are marked as text.
_CODES_OF_DIGITS = ("postal_code", "phone")


@dataclass(frozen=True)
class Cell:
    """One of our columns as a source delivers it.

    `raw` is the SQL of its raw value over the raw rows `r`. `is_stated` is true where the row states it, false where
    the mapping alone does; `source_column` is the raw column that it is, empty where it is computed of several.
    `is_text` is true where the source has text; where it has a fitting type, `typed` is the SQL of our type over `x`.

    What the mapping does to a text: `translation` is the SQL of its translation over `plain_<name>`, `default` and
    `prefix` what it adds; to a number: `factor`; to a time: `zone` is the SQL of the zone's name over `r`, `is_date`
    says that its date alone counts. `trouble` is the SQL over `r` of why it cannot be computed. `marks` are the decimal
    and thousands marks that the column shows where the mapping names none, two empty ones where it shows that it has
    both forms, so that nobody knows what 1.299 is. Only rules against `symptoms` are applied.
    """

    column: Column
    raw: str
    source_column: str = ""
    is_stated: bool = False
    is_text: bool = False
    typed: str = ""
    translation: str = ""
    default: str = ""
    prefix: str = ""
    factor: str = ""
    zone: str = ""
    is_date: bool = False
    trouble: str = ""
    marks: tuple[str, str] | None = None
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
    def is_rate(self) -> bool:
        """Whether it may be written as a percentage."""
        return self.name.endswith("_rate")

    @property
    def is_marked(self) -> bool:
        """Whether a spreadsheet may have marked it as text."""
        return self.is_text and (self.kind == "id" or self.name.endswith(_CODES_OF_DIGITS))

    @property
    def role(self) -> Role:
        """What kind of code, name or address a source's own text is, if any."""
        if not self.is_stated or self.kind != "text":
            return ""
        return _ROLES.get(self.name.removeprefix("customer_").removeprefix("product_"), "")

    def zones(self, zones: Zones) -> Zones:
        """Return the zones in which its times are read: one that its rows name goes before the source's."""
        return Zones(f"zone_{self.name}", zones.day) if self.zone else zones


def cells(columns: Iterable[Column], spec: EntitySource, source: Source, rows: RawRows) -> list[Cell]:
    """Return some of our columns as a source delivers them in some raw rows."""
    return [_cell(column, spec, source, rows) for column in columns]


def _cell(column: Column, spec: EntitySource, source: Source, rows: RawRows) -> Cell:
    prefix = text_literal(source.id_prefixes[column.name]) if column.name in source.id_prefixes else ""
    mapping = spec.columns.get(column.name) if spec.columns else ColumnMapping(column=(column.name,))
    absent = Cell(column, f"cast(null as {column.sql_type})", typed=f"x.raw_{column.name}")
    if mapping is None:
        return absent
    if mapping.constant is not None:
        return Cell(column, _written(mapping.constant, column, spec), prefix=prefix)
    default = _written(mapping.default, column, spec) if mapping.default is not None else ""
    computed = rows.computed.get(column.name)
    names = [n for n in dict.fromkeys((*mapping.column, *mapping.default_column)) if n in rows.types]
    if computed:
        raw, kind = computed.sql, computed.type
        if names:
            other, other_kind = first_stated(names, rows, spec)
            blank = f"nullif(trim({raw}), '') is null" if kind == "VARCHAR" else f"{raw} is null"
            same = kind == other_kind
            values = [sql if same else f"cast({sql} as varchar)" for sql in (other, raw)]
            raw, kind = f"case when {blank} then {values[0]} else {values[1]} end", kind if same else "VARCHAR"
    elif names:
        raw, kind = first_stated(names, rows, spec)
    else:
        return Cell(column, default, prefix=prefix) if default else absent
    name = names[0] if len(names) == 1 and not computed else ""
    zones = Zones.of(source)
    zone = _zone_of_row(mapping, rows, spec, zones) if column.kind == "timestamp" and mapping.zone else ""
    is_translated = bool(mapping.match or mapping.values)
    typed = ""
    if default and column.kind in NUMBERS and not is_translated and kind != "VARCHAR":
        raw, default = f"coalesce({raw}, {mapping.default})", ""
    if not (spec.null_values and not computed) and not default and not is_translated:
        own = Zones(f"x.zone_{column.name}", zones.day) if zone else zones
        typed = _from_type(column, kind, own, is_date=mapping.date, is_computed=computed is not None)
    is_text = kind == "VARCHAR"
    factor = str(mapping.factor) if mapping.factor is not None else ""
    if column.name.endswith("_rate") and is_text:
        factor = f"{f'{factor} * ' if factor else ''}{formats.percentage(f'text_{column.name}')}"
    return Cell(
        column,
        raw if is_text or typed else f"cast({raw} as varchar)",
        source_column=name,
        is_stated=True,
        is_text=is_text,
        typed=typed,
        translation=_translation(mapping, column, spec) if is_translated else "",
        default=default,
        prefix=prefix,
        factor=factor,
        zone=zone,
        is_date=mapping.date,
        trouble=computed.trouble if computed else "",
    )


def _written(value: str, column: Column, spec: EntitySource) -> str:
    """Return the SQL of a value that the mapping states; a number has a decimal point there, in any source."""
    return text_literal(value.replace(".", spec.decimal) if column.kind in NUMBERS else value)


def _zone_of_row(mapping: ColumnMapping, rows: RawRows, spec: EntitySource, zones: Zones) -> str:
    """Return the SQL of the zone that a row names: the source's where it names none, null where nobody knows it."""
    name = next((n for n in mapping.zone if n in rows.types), "")
    if not name:
        return zones.clock
    return (
        f"case when {is_blank(name, rows, spec)} then {zones.clock} else zone_of(cast(r.{quoted(name)} as varchar)) end"
    )


def _translation(mapping: ColumnMapping, column: Column, spec: EntitySource) -> str:
    """Return the SQL of a text by the words and patterns of the mapping; what they do not name stays as it is."""
    text = f"plain_{column.name}"

    def value(ours: str | None) -> str:
        return "null" if ours is None else _written(ours, column, spec)

    cases = [f"when lower({text}) = lower({text_literal(w)}) then {value(ours)}" for w, ours in mapping.values.items()]
    cases += [f"when regexp_matches({text}, {text_literal(m.pattern)}) then {value(m.value)}" for m in mapping.match]
    if mapping.otherwise == "keep" or (mapping.otherwise is None and mapping.default is None):
        rest = text
    elif mapping.otherwise is not None:
        rest = f"case when {text} is not null then {value(mapping.otherwise)} end"
    else:
        rest = "null"
    return f"case {' '.join(cases)} else {rest} end"


def _from_type(column: Column, kind: str, zones: Zones, *, is_date: bool, is_computed: bool) -> str:
    """Return the SQL of our type where a raw value has a fitting one; nothing where its text is to be read."""
    raw = f"x.raw_{column.name}"
    match column.kind:
        case "amount" | "quantity" | "measure" if formats.is_exact(kind) or (
            is_computed and kind in ("DOUBLE", "FLOAT")
        ):
            return f"try_cast({raw} as {column.sql_type})"
        case "boolean" if kind == "BOOLEAN":
            return raw
        case "timestamp" if kind == "DATE" or kind.startswith("TIMESTAMP"):
            return formats.typed_time(raw, kind, zones, is_date=is_date)
    return ""
