"""The CRM, its API, and REST sources: every record once whatever the server does, changes kept as versions."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import duckdb
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from typer.testing import CliRunner

from lib.base.errors import ConfigError, SourceError
from lib.base.files import PROJECT
from lib.clean.standardize import standardize
from lib.ingest.run import Ingested, ingest
from lib.lake import Lake
from lib.settings import load_settings
from lib.shop import SIZES, api, crm
from lib.shop.api import Misbehaviour, serving
from lib.shop.life import ShopLife, simulate_life
from lib.shop.systems import ShopFacts
from lib.sources import api as rest_api

TOKEN = "a-token-for-tests"
CLIENT = httpx.Client(trust_env=False, verify=False)
FACTS = ShopFacts(SIZES["small"], 42, "EUR", "Europe/Berlin")
EARLIER, LATER = 3_600, 3_900


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(FACTS.size, FACTS.seed, FACTS.date(LATER), FACTS.time_zone)


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """Return the seconds that retries would have waited; nobody does."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def state(life: ShopLife, folder: Path, through: int, after: int = -1) -> Path:
    crm.write(life, folder, FACTS, after, through, lambda _: None)
    return folder


def whole(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "crm").iterdir()}


# The CRM


def test_the_crm_is_the_same_reached_in_one_step_or_two_or_over_remains(life, tmp_path):
    at_once = whole(state(life, tmp_path / "once", LATER))
    steps = state(life, tmp_path / "steps", EARLIER)
    assert whole(steps) != at_once
    (steps / "crm" / ".customers.parquet.part").write_bytes(b"half")
    (steps / "crm" / "products.parquet").write_bytes(b"half")
    assert whole(state(life, steps, LATER, EARLIER)) == at_once
    assert sorted(at_once) == ["customers.parquet", "products.parquet"]


def test_the_crm_knows_who_has_signed_up_as_the_latest_change_left_them(life, tmp_path):
    # A day on which somebody signs up.
    day = int(np.searchsorted(life.timepiece.day_starts, life.customers.signed_up[400], side="right")) - 1
    held = crm.write(life, tmp_path, FACTS, -1, day, lambda _: None)
    rows = pq.read_table(tmp_path / "crm" / "customers.parquet").to_pylist()
    close = life.timepiece.day_starts[day + 1]
    expected: dict[int, dict[str, Any]] = {}
    for position in np.flatnonzero(life.customers.signed_up < close).tolist():
        at = int(life.customers.signed_up[position])
        expected[position] = life.customers.details.slice(position, 1).to_pylist()[0] | {"at": at}
    changes = life.customer_changes
    for n in np.flatnonzero(changes.at < close).tolist():
        expected[int(changes.row[n])] = changes.details.slice(n, 1).to_pylist()[0] | {"at": int(changes.at[n])}
    found = [{k: v for k, v in row.items() if k not in ("customer_id", "signup_at", "updated_at")} for row in rows]
    assert [r | {"at": int(row["updated_at"].timestamp())} for r, row in zip(found, rows, strict=True)] == list(
        expected.values()
    )
    assert [row["customer_id"] for row in rows] == [f"C{n + 1:06d}" for n in expected]
    assert held.rows == {"customers": len(rows), "products": int((life.catalogue.launched <= day).sum())}
    assert (held.files, held.last_date) == (2, FACTS.date(day).isoformat())


def test_a_product_has_its_price_of_the_day_and_the_currency_of_the_shop(life, tmp_path):
    crm.write(life, tmp_path, ShopFacts(FACTS.size, 42, "SEK", "Europe/Berlin"), -1, LATER, lambda _: None)
    rows = {r["product_id"]: r for r in pq.read_table(tmp_path / "crm" / "products.parquet").to_pylist()}
    changes = life.product_changes
    last = {int(row): n for n, row in enumerate(changes.row) if changes.day[n] <= LATER}
    position, n = next(iter(last.items()))
    change = changes.details.slice(n, 1).to_pylist()[0]
    row = rows[f"P{position + 1:04d}"]
    assert (row["unit_price"] * 100, row["unit_cost"] * 100) == (change["price"], change["cost"])
    assert (row["is_active"], row["currency"]) == (change["is_active"], "SEK")
    assert row["updated_at"].timestamp() == changes.at[n]
    assert len(last) < len(rows)


# The API


@pytest.fixture(scope="module")
def place(life, tmp_path_factory) -> Path:
    return state(life, tmp_path_factory.mktemp("shop"), EARLIER)


def get(address: str, token: str = TOKEN, **parameters: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return CLIENT.get(address, params=parameters or None, headers=headers)


def followed(address: str, between: Callable[[], object] = lambda: None, **parameters: Any) -> list[dict[str, Any]]:
    """Return all records of a walk along the cursor."""
    found, cursor = [], {}
    while True:
        answer = get(address, **parameters, **cursor).json()
        found += answer["data"]
        if not answer["next_cursor"]:
            return found
        cursor = {"cursor": answer["next_cursor"]}
        between()


def test_the_api_pages_through_every_record_once_in_order(place):
    with serving(place, token=TOKEN) as url:
        found = followed(f"{url}/customers", page_size=130)
        pages = [get(f"{url}/customers", page_size=130, page=n).json() for n in (1, 2, 3, 4, 5)]
    ids = pq.read_table(place / "crm" / "customers.parquet")["customer_id"].to_pylist()
    assert [r["customer_id"] for r in found] == ids
    assert [r for page in pages for r in page["data"]] == found
    assert {page["total"] for page in pages} == {len(ids)}
    assert set(found[0]) == {"customer_id", "name", "email", "phone", "address", "signup_at", "updated_at"}
    assert set(found[0]["address"]) == {"country", "region", "city", "postal_code"}


def test_a_walk_sees_every_record_once_while_customers_come(life, tmp_path):
    state(life, tmp_path, EARLIER)
    with serving(tmp_path, token=TOKEN) as url:
        found = followed(f"{url}/customers", lambda: state(life, tmp_path, LATER), page_size=200)
    ids = pq.read_table(tmp_path / "crm" / "customers.parquet")["customer_id"].to_pylist()
    assert [r["customer_id"] for r in found] == ids


def test_updated_since_leaves_out_what_did_not_change(place):
    with serving(place, token=TOKEN) as url:
        every = followed(f"{url}/products", page_size=1000)
        newest = sorted(r["updated_at"] for r in every)[-10]
        some = followed(f"{url}/products", page_size=4, updated_since=newest)
    assert some == [r for r in every if r["updated_at"] >= newest]
    assert 10 <= len(some) < len(every)


@pytest.mark.parametrize(
    ("path", "token", "status", "said"),
    [
        ("/customers", "wrong", 401, "Authorization: Bearer"),
        ("/customers", "", 401, "Authorization: Bearer"),
        ("/orders", TOKEN, 404, "/customers and /products"),
        ("/customers?page_size=0", TOKEN, 400, "page_size is '0'"),
        ("/customers?page_size=99999", TOKEN, 400, "5000 records at most"),
        ("/customers?cursor=C1", TOKEN, 400, "cursor is 'C1'"),
        ("/customers?updated_since=monday", TOKEN, 400, "a time like"),
        ("/customers?limit=3", TOKEN, 400, "No parameter limit"),
    ],
)
def test_a_request_the_api_refuses_is_told_why(place, path, token, status, said):
    with serving(place, token=TOKEN) as url:
        answer = get(url + path, token)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_misbehaviour_comes_in_the_asked_shares_and_the_same_for_a_seed(place):
    def statuses(seed: int) -> list[int]:
        found = []
        with serving(place, token=TOKEN, misbehave=Misbehaviour(0.2, 0.2, 0.2, retry_after=7, seed=seed)) as url:
            for _ in range(40):
                try:
                    answer = get(f"{url}/products")
                    answer.json()
                    found.append(answer.status_code)
                    assert (answer.headers.get("Retry-After") == "7") == (answer.status_code == 429)
                except (httpx.RemoteProtocolError, ValueError):
                    found.append(0)
        return found

    first = statuses(1)
    assert set(first) == {200, 500, 429, 0}
    assert statuses(1) == first
    assert statuses(2) != first


def test_a_server_that_stopped_answers_nobody_even_on_open_connections(place):
    with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        with serving(place, token=TOKEN) as url:
            assert client.get(f"{url}/products").status_code == 200
        with pytest.raises(httpx.TransportError):
            client.get(f"{url}/products")


def test_the_command_says_what_it_lacks_and_never_the_token(tmp_path, monkeypatch):
    command = typer.Typer()
    command.command()(api.main)

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments)
        assert (result.exit_code == 0) == ("--help" in arguments)
        return result.output + str(result.exception)

    monkeypatch.delenv("SHOP_API_TOKEN", raising=False)
    assert "set the environment variable SHOP_API_TOKEN" in said()
    monkeypatch.setenv("SHOP_API_TOKEN", TOKEN)
    without_shop = said("--data-dir", str(tmp_path))
    assert f"No shop in {tmp_path}" in without_shop
    assert TOKEN not in without_shop
    assert "SHOP_API_TOKEN" in said("--help")


# Taking the shop's own API


@dataclass
class Taker:
    """Takes one source's entities again and again into a lake below `root`."""

    root: Path
    url: str
    source: Mapping[str, Any] = field(default_factory=dict)
    entities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: int = 0

    @property
    def settings(self):
        file = self.root / "taker.yml"
        source = {"kind": "rest", "url": self.url, "token": TOKEN, **self.source, "entities": dict(self.entities)}
        shop = {"name": "S", "currency": "EUR", "time_zone": "Europe/Berlin"}
        file.write_text(yaml.safe_dump({"shop": shop, "sources": {"api": source}}), encoding="utf-8")
        return load_settings(sources=file, data_dir=self.root / "data", output_dir=self.root / "out")

    def ingest(self) -> Ingested:
        self.runs += 1
        return ingest(self.settings, f"run{self.runs}")

    def rows(self, sql: str = "*", entity: str = "customers", kind: str = "part") -> list[tuple[Any, ...]]:
        """Return rows of the raw parts, in the order they were taken."""
        folder = self.root / "data" / "lake" / "raw" / "api" / entity
        parts = sorted(str(p) for p in folder.glob(f"*/{kind}-*.parquet"))
        order = "_file, _row" if kind == "part" else "_file, _line"
        return duckdb.sql(f"select {sql} from read_parquet({parts}, union_by_name = true) order by {order}").fetchall()

    def cursor(self, entity: str = "customers") -> dict[str, Any]:
        return Lake(self.settings.lake_url).state("api", entity, self._reader(entity)).cursor

    def _reader(self, entity: str) -> str:
        from lib.base.hashing import fingerprint

        return fingerprint(self.settings.config.sources["api"].entities[entity].reader)

    def failure(self) -> str:
        taken = self.ingest()
        assert taken.rows == 0
        with pytest.raises(SourceError) as error:
            taken.raise_failures()
        assert TOKEN not in str(error.value)
        return str(error.value)


SERVED = """
import contextlib

@contextlib.contextmanager
def served(url, token):
    with open("runs.txt", "a") as runs:
        runs.write("starts ")
        runs.flush()
        yield {"url": url, "token": token}
        runs.write("ends ")
"""


def test_a_server_of_the_source_runs_while_the_source_without_an_address_is_read(life, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_server.py").write_text(SERVED, encoding="utf-8")
    folder = state(life, tmp_path / "shop", EARLIER)
    with serving(folder, token=TOKEN) as url:
        server = {"start": "own_server:served", "arguments": {"url": url, "token": TOKEN}}
        own = Taker(tmp_path, "", {"server": server, "token": ""}, {"customers": {}})
        assert own.ingest().rows > 0
        assert (tmp_path / "runs.txt").read_text() == "starts ends "
        own.url, own.source = url, {"server": server}
        assert own.ingest().failures == {}
        assert (tmp_path / "runs.txt").read_text() == "starts ends ", "an address of its own is asked itself"


def test_a_server_that_cannot_be_started_is_named(tmp_path):
    own = Taker(tmp_path, "", {"server": {"start": "lib.shop.api:nothing"}}, {"customers": {}})
    assert "'lib.shop.api:nothing' cannot be started: module 'lib.shop.api' has no attribute 'nothing'" in own.failure()
    own.source = {"server": {"start": "lib.shop.api:simulated", "arguments": {"folder": str(tmp_path / "none")}}}
    assert "There is no simulated shop in" in own.failure()
    own.source = {}
    with pytest.raises(ConfigError, match="give 'url', or 'server' where one is to be started"):
        own.ingest()


def test_the_example_reads_the_shop_once_and_later_only_what_changed_as_versions(life, tmp_path, monkeypatch):
    folder = state(life, tmp_path / "shop", EARLIER)
    earlier = pq.read_table(folder / "crm" / "customers.parquet").to_pylist()
    with serving(folder, token=TOKEN) as url:
        monkeypatch.setenv("REST_API_URL", url)
        monkeypatch.setenv("REST_API_TOKEN", TOKEN)
        settings = load_settings(sources=PROJECT / "examples" / "rest_api.yml", data_dir=tmp_path / "data")
        first = ingest(settings, "one")
        again = ingest(settings, "two")
        state(life, folder, LATER, EARLIER)
        then = ingest(settings, "three")
    later = pq.read_table(folder / "crm" / "customers.parquet").to_pylist()
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    assert (again.rows, again.failures) == (0, {})
    assert list(first.table["new_rows"]) == [len(earlier), int((life.catalogue.launched <= EARLIER).sum())]
    assert then.table["new_rows"].iloc[0] == len([r for r in later if r not in earlier]) > len(later) - len(earlier)

    lake = Lake(settings.lake_url)
    typed = list(standardize(settings, lake, lake.batches("crm", "customers")))
    assert [b.batch.files[0].name for b in typed] == ["customers-000001", "customers-000002"]
    versions = duckdb.sql(
        f"select * from read_parquet({[t.path for t in typed]}) order by _batch_id, customer_id"
    ).to_arrow_table()
    assert versions["_issues"].null_count == versions.num_rows
    newest = duckdb.sql(
        "select * from versions qualify row_number() over (partition by customer_id order by updated_at desc) = 1"
        " order by customer_id"
    ).to_arrow_table()
    naive = [{k: v.replace(tzinfo=None) if k.endswith("_at") else v for k, v in row.items()} for row in later]
    assert newest.select(list(later[0])).to_pylist() == naive


@pytest.mark.parametrize("mode", ["snapshot", "changes"])
def test_a_misbehaving_server_gives_the_same_rows(place, tmp_path, monkeypatch, mode):
    monkeypatch.setattr(rest_api, "LONGEST_BACK_OFF", 0.0)
    taken = []
    for name, misbehave in (("good", None), ("bad", Misbehaviour(0.15, 0.15, 0.2, retry_after=0, seed=5))):
        (tmp_path / name).mkdir()
        with serving(place, token=TOKEN, misbehave=misbehave) as url:
            entities = {e: {"mode": mode} for e in ("customers", "products")}
            taker = Taker(tmp_path / name, url, {"page_size": 60, "retries": 30}, entities)
            assert taker.ingest().failures == {}
            assert taker.ingest().rows == 0
        documents = [batch.files for batch in Lake(taker.settings.lake_url).batches()]
        taken.append([documents, *(taker.rows(entity=entity) for entity in entities)])
    assert taken[0] == taken[1]


def test_changes_are_asked_for_since_the_newest_time_of_change_less_the_overlap(life, tmp_path):
    folder = state(life, tmp_path / "shop", EARLIER)
    with serving(folder, token=TOKEN) as url:
        taker = Taker(tmp_path, url, entities={"customers": {"mode": "changes"}})
        taker.ingest()
        before = taker.rows("customer_id")
        since = taker.cursor()["updated_at"]
        state(life, folder, LATER, EARLIER)
        taker.ingest()
        read = taker.cursor()["records"]
    assert since == max(r["updated_at"] for r in _records(state(life, tmp_path / "copy", EARLIER)))
    assert len(taker.rows()) - len(before) == len([r for r in _records(folder) if r["updated_at"] > since])
    assert read < len(before)


def _records(folder: Path) -> list[dict[str, Any]]:
    with serving(folder, token=TOKEN) as url:
        return followed(f"{url}/customers", page_size=5000)


# Failures


def test_a_server_that_is_down_is_named_at_once(place, tmp_path, waits):
    with serving(place, token=TOKEN) as url:
        pass
    taker = Taker(tmp_path, url, entities={"customers": {}, "products": {}})
    message = taker.failure()
    assert f"{url}/customers cannot be reached" in message
    assert f"{url}/products cannot be reached" in message
    assert "Check 'url'" in message
    assert waits == []


def test_a_refused_token_is_reported_at_once_and_never_printed(place, tmp_path, waits):
    with serving(place, token="another") as url:
        message = Taker(tmp_path, url, entities={"customers": {}}).failure()
    assert "answered 401" in message
    assert "Check 'token'" in message
    assert waits == []


@dataclass
class Script:
    """A server of odd habits: `answer` gives status, headers and body for a path and its parameters."""

    answer: Callable[[str, dict[str, str]], Any] = lambda path, asked: []
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def respond(self, path: str) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(path)
        parameters = dict(parse_qsl(url.query))
        self.asked.append((url.path, parameters))
        found = self.answer(url.path, parameters)
        if isinstance(found, tuple):
            return found
        return 200, {}, found if isinstance(found, bytes) else json.dumps(found).encode()


@pytest.fixture
def script() -> Iterator[Script]:
    own = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = own.respond(self.path)
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        own.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield own
        server.shutdown()


def taker(script: Script, root: Path, **entity: Any) -> Taker:
    """Return a taker of customers from a script whose ids are `id`."""
    return Taker(root, script.url, {"retries": 2}, {"customers": {"columns": {"customer_id": "id"}, **entity}})


def test_retries_wait_longer_each_time_and_end_in_a_clear_message(script, tmp_path, waits):
    script.answer = lambda *_: (503, {}, b"down for repair")
    message = taker(script, tmp_path).failure()
    assert f"{script.url}/customers was asked 3 times in a row" in message
    assert "answered 503 and said 'down for repair'" in message
    assert len(script.asked) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1


def test_retry_after_is_honoured_as_seconds_and_as_a_date(script, tmp_path, waits):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    answers = iter([(429, {"Retry-After": "17"}, b""), (503, {"Retry-After": soon}, b""), {"data": [{"id": "1"}]}])
    script.answer = lambda *_: next(answers)
    assert taker(script, tmp_path).ingest().rows == 1
    assert waits[0] == 17
    assert 60 < waits[1] <= 90


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(script, tmp_path, waits):
    late = threading.Event()

    def answer(*_: object) -> Any:
        if len(script.asked) == 1:
            late.wait(2)
        return {"data": [{"id": "1"}]}

    script.answer = answer
    own = taker(script, tmp_path)
    own.source = {"timeout_seconds": 0.3}
    assert own.ingest().rows == 1
    late.set()
    assert len(waits) == 1


def test_a_wait_of_hours_is_not_waited_for(script, tmp_path, waits):
    script.answer = lambda *_: (429, {"Retry-After": "7200"}, b"")
    assert "asks to wait 7,200 seconds" in taker(script, tmp_path).failure()
    assert waits == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>log in</html>", "is no JSON, or not all of it: it starts with '<html>log in"),
        (b'{"data": [{"id": ', "is no JSON, or not all of it"),
        (b"\xff\xfe", "no UTF-8"),
        ({"items": [], "datas": []}, "it has no 'data'; found items, datas. Did you mean 'datas'?"),
        ({"data": {"id": 1}}, "'data' is object"),
        ((400, {}, b'{"error": "page_size"}'), "answered 400 and said"),
        ({"data": [{"uid": "1"}]}, "no record has its key 'id'; found uid. Did you mean 'uid'?"),
        ((302, {"Location": "/login"}, b""), "answered 302 and leads to /login"),
        ({"data": [{"id": "1"}], "next_cursor": "x"}, "the same 1 records twice in a row"),
    ],
)
def test_an_answer_that_cannot_be_used_is_reported_and_nothing_is_read(script, tmp_path, answer, said):
    script.answer = lambda *_: answer
    assert said in taker(script, tmp_path).failure()


def test_the_token_is_not_sent_to_another_server(script, tmp_path):
    script.answer = lambda *_: {"data": [{"id": "1"}], "next": "http://localhost:9/customers?page=2"}
    message = taker(script, tmp_path, paging="link", next="next").failure()
    assert "another server" in message
    assert "localhost:9" in message


def test_an_invalid_address_is_a_mistake_in_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"sources\.api\.url: expected an address"):
        _ = Taker(tmp_path, "shop.example.com", entities={"customers": {}}).settings


# What is in records


def test_records_land_verbatim(script, tmp_path):
    script.answer = lambda *_: (
        b'{"data": [{"id": "007", "n": {"first": "Zo\\u00eb", "a.b": 1}, "tags": ["a", {"b": 2}], "ok": true,'
        b' "price": 12.90, "exact": 0.12345678901234567890, "big": 123456789012345678901, "no": null, "empty": ""},'
        b' {"id": 8, "n": null, "late": "2025-01-01", "half": "x\\ud800y", "text": "a 0.12345678901234567890: b"},'
        b' {"id": "9", "n": "plain"}]}'
    )
    assert taker(script, tmp_path).ingest().failures == {}
    wanted = 'id, "n.first", "n.a.b", n, tags, ok, price, exact, big, "no", empty, late, half, text'
    first = ("007", "Zoë", "1", None, '["a",{"b":2}]', "true", "12.9", "0.12345678901234567890")
    assert taker(script, tmp_path).rows(wanted) == [
        (*first, "123456789012345678901", None, "", None, None, None),
        ("8", *[None] * 10, "2025-01-01", "x\ufffdy", "a 0.12345678901234567890: b"),
        ("9", None, None, "plain", *[None] * 10),
    ]


def test_what_is_no_record_costs_only_itself_and_is_reported_once(script, tmp_path):
    records = [{"id": "1"}, "oops", {"name": "nobody"}, None, {"id": " "}, {"id": "2"}]
    script.answer = lambda *_: {"data": records}
    own = taker(script, tmp_path)
    taken = own.ingest()
    assert (taken.table["new_rows"].item(), taken.table["malformed_lines"].item()) == (6, 4)
    assert own.rows("id, _row") == [("1", 0), ("2", 1)]
    assert own.rows("_line, _text, _error", kind="malformed") == [
        (2, '"oops"', "the record is no object but varchar"),
        (3, '{"name":"nobody"}', "the record has no 'id', its key"),
        (4, "null", "the record is no object but null"),
        (5, '{"id":" "}', "the record has no 'id', its key"),
    ]
    lake = Lake(own.settings.lake_url)
    typed = next(standardize(own.settings, lake, lake.batches()))
    numbers = duckdb.sql(f"select _source_row from '{typed.path}' order by all").fetchall()
    assert numbers == [(n,) for n in range(1, 7)]
    assert own.ingest().rows == 0
    records.append(5)
    assert own.ingest().rows == 1
    assert len(own.rows(kind="malformed", sql="_text")) == 5
    typed = next(standardize(own.settings, lake, lake.batches()[1:]))
    assert duckdb.sql(f"select _reject_rule, _raw from '{typed.path}'").fetchall() == [
        ("malformed_line", '{"line":"5"}')
    ]


def test_versions_are_kept_also_when_a_record_goes_back_to_what_it_was(script, tmp_path):
    own = taker(script, tmp_path)
    for city in ("Oslo", "Bergen", "Bergen", "Oslo", "Oslo"):
        script.answer = lambda *_, city=city: {"data": [{"id": "1", "city": city}, {"id": "2", "city": "Rome"}]}
        own.ingest().raise_failures()
    assert own.rows("_file, id, city") == [
        ("customers-000001", "1", "Oslo"),
        ("customers-000001", "2", "Rome"),
        ("customers-000002", "1", "Bergen"),
        ("customers-000003", "1", "Oslo"),
    ]


def test_two_records_of_one_key_are_both_handed_over_once(script, tmp_path):
    own = taker(script, tmp_path)
    records = [{"id": "1", "city": "Oslo"}, {"id": "1", "city": "Rome"}, {"id": "1", "city": "Oslo"}, {"id": "2"}]
    script.answer = lambda *_: {"data": records}
    assert [own.ingest().rows, own.ingest().rows] == [3, 0]
    assert own.rows("id, city") == [("1", "Rome"), ("1", "Oslo"), ("2", None)]
    records[1]["city"] = "Bonn"
    assert [own.ingest().rows, own.ingest().rows] == [2, 0]


def test_a_new_column_without_values_is_no_change_and_one_with_values_is(script, tmp_path):
    own = taker(script, tmp_path)
    found = []
    for extra in ({}, {"vip": None}, {"vip": True}):
        script.answer = lambda *_, extra=extra: {"data": [{"id": "1", **extra}, {"id": "2"}]}
        taken = own.ingest()
        found.append((taken.rows, list(taken.changes["column"])))
    assert found == [(2, []), (0, []), (1, ["vip"])]


def test_a_column_that_is_discarded_makes_no_record_differ(script, tmp_path):
    own = taker(script, tmp_path)
    own.source = {"schema_changes": "discard"}
    script.answer = lambda *_: {"data": [{"id": "1", "city": "Oslo"}, {"id": "2"}]}
    own.ingest()
    script.answer = lambda *_: {"data": [{"id": "1", "city": "Oslo", "vip": 1}, {"id": "2", "city": "Rome", "vip": 2}]}
    assert [own.ingest().rows, own.ingest().rows] == [1, 0]
    assert own.rows("* exclude (_file)") == [("1", "Oslo", 0), ("2", None, 1), ("2", "Rome", 0)]


def test_names_that_the_taking_uses_itself_are_a_record_s_own_too(script, tmp_path):
    record = {"position": "p", "bytes": "b", "c0": "c", "_key": "k", "_content": "t", "record": "r", "id": "1"}
    script.answer = lambda *_: {"data": [record | {"_row": "9"}]}
    own = taker(script, tmp_path)
    assert [own.ingest().rows, own.ingest().rows] == [1, 0]
    assert own.rows("* exclude (_file)") == [(*record.values(), "9", 0)]


def test_what_is_gone_from_a_snapshot_is_counted_and_stays(script, tmp_path):
    own = taker(script, tmp_path)
    for ids in ("12345", "456"):
        script.answer = lambda *_, ids=ids: {"data": [{"id": n} for n in ids]}
        own.ingest()
    assert own.cursor() == {"records": 3, "gone": 3}
    assert own.rows("id") == [(n,) for n in "123456"]


def test_a_column_that_few_records_lack_is_there_and_one_that_all_of_many_lack_is_missed(script, tmp_path):
    own = taker(script, tmp_path, columns={"customer_id": "id", "phone": "phone"})
    script.answer = lambda *_: {"data": [{"id": "1"}]}
    own.ingest().raise_failures()
    assert own.rows("id, phone") == [("1", None)]
    script.answer = lambda *_: {"data": [{"id": str(n), "fone": "1"} for n in range(30)]}
    assert "has no column 'phone'" in own.failure()
    (tmp_path / "new").mkdir()
    fresh = taker(script, tmp_path / "new", columns=own.entities["customers"]["columns"])
    assert "none of its 30 records has 'phone'" in fresh.failure()


# Paging


@pytest.mark.parametrize("paging_by", ["page", "offset", "link", "header", "none"])
def test_every_way_of_paging_ends_with_all_records(script, tmp_path, paging_by):
    ids = [{"id": f"{n:03d}"} for n in range(1, 8)]

    def answer(path: str, asked: dict[str, str]) -> Any:
        if paging_by == "none":
            return ids
        first = int(asked.get("offset", (int(asked.get("p", 1)) - 1) * 3))
        rows, more = ids[first : first + 3], f"{path}?p={first // 3 + 2}"
        if paging_by == "header":
            link = {"Link": f'<{script.url}{more}>; rel="next"'} if first < 6 else {}
            return 200, link, json.dumps(rows).encode()
        return {"found": {"rows": rows, "next": more if first < 6 else None}}

    script.answer = answer
    options = {"page": {"paging": "page", "position_parameter": "p"}, "header": {"paging": "link"}}
    entity = {"records": "" if paging_by in ("none", "header") else "found.rows", "next": "found.next"}
    own = taker(script, tmp_path, **entity, **options.get(paging_by, {"paging": paging_by}))
    own.ingest().raise_failures()
    assert own.rows("id") == [(r["id"],) for r in ids]


def test_pages_that_move_while_they_are_read_lose_and_double_nothing(script, tmp_path):
    def moving(change: Callable[[list[str]], object], root: Path) -> list[str]:
        """Return what is taken of pages of three where the list changes behind the first page."""
        ids = list("abcdefgh")
        script.asked.clear()

        def answer(path: str, asked: dict[str, str]) -> Any:
            first = (int(asked["page"]) - 1) * 3
            rows = [{"id": n} for n in ids[first : first + 3]]
            total = len(ids)
            if len(script.asked) == 1:
                change(ids)
            return {"data": rows, "total": total}

        script.answer = answer
        root.mkdir()
        own = taker(script, root, paging="page", total="total")
        own.ingest().raise_failures()
        return sorted(n for (n,) in own.rows("id"))

    assert moving(lambda ids: ids.insert(0, "n"), tmp_path / "came") == list("abcdefghn")
    assert moving(lambda ids: ids.remove("b"), tmp_path / "went") == list("abcdefgh")
    assert moving(lambda ids: ids.append(ids.pop(0)), tmp_path / "moved") == list("abcdefgh")


# Lists


def test_the_lines_of_an_order_are_rows_with_the_orders_columns_beside_them(script, tmp_path):
    def line(sku: str, price: float) -> dict[str, Any]:
        return {"sku": sku, "price": {"amount": price}, "properties": [{"name": "engraving", "value": sku.lower()}]}

    orders = [
        {"id": "1", "at": "2024-01-05", "lines": [line("A", 1.5), line("B", 2.0), line("B", 2.0)]},
        {"id": "2", "at": "2024-01-06", "lines": []},
    ]
    script.answer = lambda *_: {"data": orders}
    columns = {
        "order_id": "id",
        "line_number": "lines._number",
        "product_id": "lines.sku",
        "quantity": {"constant": 1},
        "unit_price": "lines.price.amount",
    }
    own = Taker(tmp_path, script.url, {}, {"order_items": {"columns": columns, "rows": "lines", "key": "id"}})
    assert own.ingest().failures == {}
    wanted = 'id, "lines._number", "lines.sku", "lines.price.amount", "lines.properties.engraving"'
    first = [("1", "1", "A", "1.5", "a"), ("1", "2", "B", "2.0", "b"), ("1", "3", "B", "2.0", "b")]
    assert own.rows(wanted, entity="order_items") == [*first, ("2", None, None, None, None)]
    assert own.ingest().rows == 0
    orders[0]["lines"][0]["price"]["amount"] = 1.25
    assert own.ingest().rows == 3
