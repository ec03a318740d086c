"""Which raw rows are none of the entity: headers repeated between them, rows of totals, what `where` leaves out."""

from dataclasses import dataclass

from lib.base.quoting import quoted, text_literal
from lib.cells.mapping import Cell
from lib.cells.rows import RawRows, shortened
from lib.config import EntitySource

#: How many columns are looked at for the first sign of a repeated header, and for a word such as Total.
_FIRST, _LOOKED_AT = 3, 12

_TOTAL = (
    "^(grand |sub-?|overall |zwischen|gesamt|end)?"
    "(totals?|totale|totaal|totalt|total general|total général|total geral|totale generale|algemeen totaal|eindtotaal"
    "|gesamt|gesamtsumme|gesamtbetrag|insgesamt|summe|sum|suma|somme|soma|razem|celkem|yhteensä|i alt|итого|всего)"
    "[ :=.]*[0-9.,]*$"
)


@dataclass(frozen=True)
class Leftovers:
    """How rows that are left out are told: `columns` to add to the select list over `r`, then the SQL over these.

    `rule` is the SQL of the rule by which a row is left out, null for all others, empty where no row is; `reason` that
    of the reason. `trouble` is the SQL of why nobody can tell, empty where everybody can.
    """

    columns: tuple[str, ...] = ()
    rule: str = ""
    reason: str = "null"
    trouble: str = ""


def header_suspicion(spec: EntitySource, rows: RawRows) -> str:
    """Return the condition over `r` that a row may repeat the header: one of the first columns holds its own name."""
    same = [f"r.{quoted(n)} = {text_literal(n)}" for n in _texts(spec, rows)[:_FIRST]]
    return f"({' or '.join(same)})" if same else "false"


def left_out(cells: list[Cell], spec: EntitySource, rows: RawRows, *, has_headers: bool) -> Leftovers:
    """Return how the rows that are none of the entity are told from the others."""
    columns: list[str] = []
    cases: list[str] = []
    reasons: list[str] = []
    is_header = "false"
    if has_headers:
        names = _texts(spec, rows)
        same = " + ".join(
            f"coalesce(cast(lower(trim(r.{quoted(n)})) = lower({text_literal(n)}) as integer), 0)" for n in names
        )
        is_header = f"({same}) >= {max(min(len(names), 2), (len(names) + 1) // 2)}"
        columns.append(f"{is_header} as _is_header")
        cases.append("when _is_header then 'repeated_header'")
        reasons.append("when 'repeated_header' then 'the line repeats the header'")
    needed = [c for c in cells if c.column.required and c.symptoms & {"missing", "unreadable", "troubled"}]
    filled = [c for c in cells if c.column.required and c.name in spec.fill_down and c.source_column]
    if needed or filled:
        texts = [n for n, kind in rows.types.items() if kind == "VARCHAR" and n != "_file"][:_LOOKED_AT]
        first = ", ".join([*(f"nullif(trim({rows.whole}.{quoted(n)}), '')" for n in texts), "cast(null as varchar)"])
        columns.append(f"coalesce({first}) as _first_cell")
        columns += [
            f"nullif(trim({rows.whole}.{quoted(c.source_column)}), '') as _own_{c.name}" for c in filled if c.is_text
        ]
        nothing = [f"value_{c.name} is null" for c in needed] + [f"_own_{c.name} is null" for c in filled if c.is_text]
        cases.append(f"when ({' or '.join(nothing)}) and regexp_matches(lower(_first_cell), {text_literal(_TOTAL)})")
        cases[-1] += " then 'totals_row'"
        reasons.append("when 'totals_row' then 'the row has totals: ' || _first_cell")
    trouble = ""
    if rows.where:
        columns.append(f"case when not {is_header} then {rows.where.sql} end as _is_wanted")
        is_unknown = ""
        if rows.where.trouble:
            trouble = "_where_trouble"
            columns.append(
                f"case when not {is_header} and {rows.where.sql} is null then {rows.where.trouble} end as {trouble}"
            )
            is_unknown = f" and {trouble} is null"
        cases.append(f"when not coalesce(_is_wanted, false){is_unknown} then 'left_out'")
        reasons.append(f"when 'left_out' then {text_literal(f'where is not true: {shortened(rows.where.text)}')}")
    if not cases:
        return Leftovers()
    rule, reason = f"case {' '.join(cases)} end", f"case _left_out {' '.join(reasons)} end"
    return Leftovers(tuple(columns), rule, reason, trouble)


def _texts(spec: EntitySource, rows: RawRows) -> list[str]:
    """Return the raw columns of text that the mapping reads; all, where the names are ours."""
    named = spec.mapped if spec.columns else list(rows.types)
    return [n for n in named if rows.types.get(n) == "VARCHAR" and n != "_file"]
