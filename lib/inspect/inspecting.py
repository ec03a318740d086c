"""A first look at a shop's exports: what each file or table is, a sources file for them, what is doubtful about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.base.secrets import mask
from lib.inspect.documents import LARGE, Document, documents
from lib.inspect.drafting import draft_of
from lib.inspect.groups import Drafted, Group
from lib.inspect.shop import Wishes
from lib.inspect.sources_file import printable, text_of
from lib.inspect.trial import Arrived, Trial, includes_tax, try_out, unit_or_line

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", "": ""}
#: What is shown first: by these a shop knows its orders again.
_FIRST = (
    "order_id", "ordered_at", "customer_id", "product_id", "quantity", "unit_price", "line_total", "line_amount",
    "discount_amount", "total_amount", "status", "payment_id", "amount", "method", "event_at", "event_type", "value",
)  # fmt: skip
#: Names that are shown of the columns that nothing maps, and columns and characters of the rows that are shown.
_SHOWN_NAMES, _SHOWN_COLUMNS, _WIDEST = 8, 8, 22


@dataclass(frozen=True)
class Inspection:
    """What was found, and the text of the sources file."""

    drafted: Drafted
    trial: Trial
    text: str

    @property
    def runs(self) -> bool:
        """Whether the sources file can be run as it is, as far as reading and mapping the rows shows it."""
        usable = any(one.rows > sum(one.refused.values()) for one in self.trial.arrived.values())
        return bool(self.drafted.groups) and not self.trial.failure and not self.drafted.draft.missing and usable


def inspect(
    paths: list[str], wishes: Wishes, scratch: Path, written: str = "", progress: Callable[[str], None] = lambda _: None
) -> Inspection:
    """Look at files, folders and databases; `written` is the name of the sources file, for its own first lines.

    Raises ConfigError where a path is not there, SourceError where a database cannot be reached.
    """
    found = documents(paths, scratch, progress)
    head = [
        f"A first draft, by: python run_pipeline.py inspect {' '.join(mask(path) for path in paths)}",
        "Comments say why a column is mapped so; 'check:' says what could not be told for sure.",
        *([f"Then: python run_pipeline.py --sources {written}"] if written else []),
    ]
    drafted = draft_of(found, wishes, head)
    progress("reading the rows as they would arrive")
    trial = try_out(drafted, scratch / "trial") if drafted.groups else Trial()
    if _decide_prices(drafted, trial):
        trial = try_out(drafted, scratch / "again")
    _decide_tax(drafted, trial)
    _say_what_arrived(drafted, trial)
    return Inspection(drafted, trial, text_of(drafted.draft))


def _decide_prices(drafted: Drafted, trial: Trial) -> bool:
    """Take prices for those of whole lines where the orders' totals show it; return whether there were any."""
    changed = False
    for name, entity in trial.paths:
        draft = drafted.draft.sources[name].entities[entity]
        if entity not in ("order_items", "order_lines") or "unit_price" not in draft.columns:
            continue
        if {"line_total", "line_amount"} & draft.columns.keys():
            continue
        unit, line = unit_or_line(trial, (name, entity))
        if line > unit:
            draft.columns["line_total"] = draft.columns.pop("unit_price")
            draft.comments.pop("unit_price", None)
            draft.comments["line_total"] = f"the totals of {line:,} orders show that it is the whole line's"
            changed = True
    return changed


def _decide_tax(drafted: Drafted, trial: Trial) -> None:
    """Say whether prices include the tax, where the orders' totals show it."""
    included, orders, of = includes_tax(trial)
    if included is None or included:
        return
    draft = drafted.draft
    draft.keys["models"] = {**draft.keys.get("models", {}), "prices_include_tax": False}
    why = f"totals are lines, shipping and tax in {orders:,} of {of:,} orders that show it"
    before = draft.key_comments.get("models")
    draft.key_comments["models"] = f"{before}; {why}" if before else why


def _say_what_arrived(drafted: Drafted, trial: Trial) -> None:
    for (name, entity), one in trial.arrived.items():
        source = drafted.draft.sources.get(name)
        if source is None or entity not in source.entities:
            continue
        draft = source.entities[entity]
        if one.first and one.last:
            draft.about += f", {one.first[:10]} to {one.last[:10]}"
        refused = sum(one.refused.values())
        if refused:
            reason = next(iter(one.refused))
            draft.doubts.append(f"{refused:,} of {one.rows:,} rows cannot be used: {reason}")


# In words


def lines_of(inspection: Inspection) -> Iterator[str]:
    """Yield what was found as lines of text: each entity's documents, first rows, unmapped columns and doubts."""
    yield from map(printable, _lines(inspection))


def _lines(inspection: Inspection) -> Iterator[str]:
    drafted = inspection.drafted
    shown: set[int] = set()
    for group in drafted.groups.values():
        if id(group) not in shown:
            shown.add(id(group))
            yield from _group_lines(inspection, group)
    for document in drafted.unread:
        yield f"{document.name}: not read: {document.problem}"
    if drafted.unread:
        yield ""
    draft = drafted.draft
    if draft.shop:
        zone = draft.shop["time_zone"]
        yield f"Shop: {draft.shop['name']}, {draft.shop['currency']}, {zone}"
    for key, comment in draft.shop_comments.items():
        if comment.startswith("check: "):
            yield f"  ? {key}: {comment.removeprefix('check: ')}"
    for key, comment in draft.key_comments.items():
        yield f"  {key}: {', '.join(f'{k}: {str(v).lower()}' for k, v in draft.keys[key].items())} ({comment})"
    if inspection.trial.failure:
        yield f"  ! {inspection.trial.failure}"


def _group_lines(inspection: Inspection, group: Group) -> Iterator[str]:
    """Yield what is said of some documents and of each entity that they give."""
    drafted = inspection.drafted
    keys = [key for key, own in drafted.groups.items() if own is group]
    drafts = [drafted.draft.sources[name].entities[entity] for name, entity in keys]
    arrived = [inspection.trial.arrived.get(key, Arrived()) for key in keys]
    known = group.recognized
    what = f"{known.layout.system}, {known.form.name}" if known else "no layout that is known: guessed"
    yield _titles(group.documents)
    yield f"  {what}"
    yield f"  {'; '.join(_facts(group, next((one for one in arrived if one.first), arrived[0])))}"
    said: set[str] = set()
    for (name, entity), draft, one in zip(keys, drafts, arrived, strict=True):
        yield f"  {name}.{entity}:"
        if one.failure:
            yield f"  ! {one.failure}"
        yield from _table(one)
        if one.left_out:
            yield f"  left out, rows: {', '.join(f'{n:,} {why}' for why, n in one.left_out.items())}"
        for column, why in draft.missing.items():
            yield f"  ! {column}: {why}"
        for doubt in draft.doubts:
            if doubt not in said:
                yield f"  ? {doubt}"
            said.add(doubt)
    unmapped = [name for name in drafts[0].unmapped if all(name in draft.unmapped for draft in drafts)]
    if unmapped:
        more = len(unmapped) - _SHOWN_NAMES
        yield f"  not mapped: {', '.join(unmapped[:_SHOWN_NAMES])}{f' and {more} more' if more > 0 else ''}"
    yield ""


def _titles(found: Sequence[Document]) -> str:
    names = [document.name for document in found]
    if len(names) <= 3:
        return ", ".join(names)
    return (
        f"{names[0]}, {names[1]} ... {names[-1]} ({len(names)} {'tables' if found[0].kind == 'database' else 'files'})"
    )


def _facts(group: Group, arrived: Arrived) -> list[str]:
    first = group.first
    facts = [first.encoding.upper().replace("CP1252", "Windows-1252")] if first.encoding else []
    if first.delimiter:
        facts.append(f"separator {_DELIMITERS.get(first.delimiter, first.delimiter)}")
    if first.delimiter:
        facts.append(f"header in line {first.header_line}")
    rows = f"{group.rows:,} row{'s' * (group.rows != 1)}"
    facts.append(f"{rows} in the first {LARGE >> 20} MB" if any(d.is_part for d in group.documents) else rows)
    if arrived.first:
        facts.append(f"{arrived.first[:16]} to {arrived.last[:16]}")
    return facts


def _table(arrived: Arrived) -> Iterator[str]:
    """Yield the first rows, as wide as a terminal."""
    if not arrived.shown:
        return
    columns = list(zip(arrived.columns, *arrived.shown, strict=True))
    columns = sorted(columns, key=lambda c: _FIRST.index(c[0]) if c[0] in _FIRST else len(_FIRST))[:_SHOWN_COLUMNS]
    cut = [[_cut(cell) for cell in column] for column in columns]
    widths = [max(map(len, column)) for column in cut]
    for row in zip(*cut, strict=True):
        yield "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    more = len(arrived.columns) - _SHOWN_COLUMNS
    if more > 0:
        yield f"    and {more} more columns"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
