"""Queries as notebooks and analysts write them, turned into what psycopg2 takes, on the tables of a private copy."""

import re

#: Texts, quoted names and comments are passed over; a parameter, a percent sign and a qualified name are looked at.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(?P<parameter>\?)|\b(?P<schema>[a-z_]+)\s*\.\s*(?P<name>[a-z_0-9]+)""",
    re.DOTALL | re.IGNORECASE,
)


def as_psycopg2(sql: str, prefix: str, names: set[str], has_parameters: bool) -> str:
    """Return a query for psycopg2, its tables taken from a private copy where that has them.

    `names` are the copy's relations as prefix + schema.table. Only a name that stands there is changed, so a column
    of a table's alias stays what it is.
    """

    def token(found: re.Match[str]) -> str:
        text = found.group()
        if found["parameter"]:
            return "%s" if has_parameters else text
        if found["schema"]:
            own = f"{prefix}{found['schema']}.{found['name']}".lower()
            return own if own in names else text
        return text

    escaped = sql.replace("%", "%%") if has_parameters else sql
    return _TOKEN.sub(token, escaped)
