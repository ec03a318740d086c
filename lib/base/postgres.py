"""A PostgreSQL server's address: a URL as its parts, without showing what it holds."""

import contextlib
import re

import psycopg2
from psycopg2.extensions import parse_dsn

from lib.base.errors import ConfigError
from lib.base.secrets import keep_secret

EXAMPLE = "postgresql://user:password@host:5432/database"
#: Errors of a server that may answer in a moment, or of the system in its place.
TRANSIENT = re.compile(
    "refused|timeout|timed out|starting up|shutting down|closed the connection|No such file|too many clients"
    "|remaining connection slots"
)
_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+psycopg2)?://")


def connection_arguments(url: str, variable: str) -> dict[str, str]:
    """Return a PostgreSQL URL's parts as libpq's keywords; the URL may carry SQLAlchemy's `+psycopg2`.

    Raises ConfigError for anything else; its message does not quote the URL, which may hold a password anywhere.
    """
    arguments: dict[str, str] = {}
    if _SCHEME.match(url):
        with contextlib.suppress(psycopg2.ProgrammingError):
            arguments = parse_dsn(_SCHEME.sub("postgresql://", url))
    ports = arguments.get("port", "").split(",")
    if not arguments.get("dbname") or not all(port.isdigit() or not port for port in ports):
        raise ConfigError(
            f"{variable} is no address of a PostgreSQL database. Expected {EXAMPLE}, where a password's characters"
            " other than letters, digits and -._~ are percent-encoded (@ is %40)."
        )
    keep_secret(arguments.get("password", ""))
    return arguments
