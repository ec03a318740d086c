"""Names and texts as parts of an SQL statement, where they cannot be bound."""

from collections.abc import Iterable


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_list(names: Iterable[str]) -> str:
    """Return names as a comma-separated list of SQL identifiers."""
    return ", ".join(quoted(n) for n in names)
