"""Queries in files of their own below `sql/`, which are no models of dbt."""

from lib.base.files import PROJECT


def read_query(path: str) -> str:
    """Return the query of a file below `sql/`, such as `queries/quality/findings`; its parameters are `?`."""
    return (PROJECT / "sql" / f"{path}.sql").read_text(encoding="utf-8").rstrip()
