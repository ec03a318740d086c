"""The REST API of the shop's CRM and catalogue: a real HTTP server over what `crm` wrote. By hand:

    SHOP_API_TOKEN=... python -m lib.shop.api --data-dir data --port 8080

`GET /customers` and `GET /products` answer a page of records in order of their ids. A walk follows `next_cursor`, which
encodes the last id seen: while customers come and change, every record there from beginning to end comes up exactly
once, which numbered pages (`page`, understood too) promise only of data that stand still. `updated_since` leaves
out what did not change since. A new state on disk is served from the next request on.
"""

import contextlib
import glob
import hmac
import json
import os
import random
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import duckdb
import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from lib.base.errors import SourceError
from lib.shop.crm import ENTITIES, FOLDER

PAGE_SIZE, LARGEST_PAGE = 100, 5_000
PARAMETERS = ("page", "page_size", "cursor", "updated_since")
_MOMENT = "strftime({}, '%Y-%m-%dT%H:%M:%SZ')"
#: What a record of each resource is made of, in DuckDB's SQL; amounts are text, as JSON's numbers are binary to many.
_RECORDS = {
    "customers": f"""{{
        'customer_id': customer_id, 'name': {{'first': first_name, 'last': last_name}}, 'email': email, 'phone': phone,
        'address': {{'country': country, 'region': region, 'city': city, 'postal_code': postal_code}},
        'signup_at': {_MOMENT.format("signup_at")}, 'updated_at': {_MOMENT.format("updated_at")}
    }}""",
    "products": f"""{{
        'product_id': product_id, 'name': name, 'brand': brand,
        'category': {{'name': category, 'subcategory': subcategory}},
        'price': {{'amount': unit_price::varchar, 'cost': unit_cost::varchar, 'currency': currency}},
        'is_active': is_active, 'updated_at': {_MOMENT.format("updated_at")}
    }}""",
}


@dataclass(frozen=True)
class Misbehaviour:
    """Shares (0 to 1) of requests that end in a 500, in a 429 and in an answer cut off halfway; seeded."""

    errors: float = 0.0
    throttled: float = 0.0
    cut_off: float = 0.0
    retry_after: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Resource:
    """Records as JSON texts with a comma after each, the (rising) numbers of their ids, UTC seconds of change."""

    stamp: tuple[int, int, int]
    records: pa.LargeStringArray
    numbers: NDArray[np.int64]
    updated: NDArray[np.int64]


class Refused(Exception):  # noqa: N818 - no error of the project's: it ends in an answer
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Server(ThreadingHTTPServer):
    """Serves the state below a folder to who knows the token."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, token: str, misbehave: Misbehaviour, host: str, port: int) -> None:
        self.folder, self.token, self.misbehave = folder / FOLDER, token, misbehave
        self._chance = random.Random(misbehave.seed)
        self._lock = threading.Lock()
        self._resources: dict[str, Resource] = {}
        self._open: set[socket.socket] = set()
        super().__init__((host, port), Handler)

    @property
    def address(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def next_fault(self) -> str:
        """Return what is to go wrong with the next request, mostly nothing."""
        with self._lock:
            point, wanted = self._chance.random(), self.misbehave
            shares = (("error", wanted.errors), ("throttled", wanted.throttled))
            # Half of the answers that are cut off state their shortened length, so that only their text shows it.
            for name, share in (*shares, ("cut", wanted.cut_off / 2), ("torn", wanted.cut_off / 2)):
                if point < share:
                    return name
                point -= share
        return ""

    def resource(self, name: str) -> Resource:
        """Return a resource as it is on disk now."""
        path = self.folder / f"{name}.parquet"
        try:
            found = path.stat()
        except OSError:
            raise Refused(HTTPStatus.NOT_FOUND, f"The shop has no {name} yet: run 01_generate first.") from None
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        with self._lock:
            if name not in self._resources or self._resources[name].stamp != stamp:
                self._resources[name] = load(path, name, stamp)
            return self._resources[name]

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        """Take no more requests, and close the connections that clients keep open."""
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server: Server
    # Headers and body leave together, and at once.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        fault = self.server.next_fault()
        try:
            self._check_token()
            if fault == "error":
                raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here. Try again.")
            if fault == "throttled":
                raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests.")
            body = self._page()
        except Refused as refused:
            body = json.dumps({"error": refused.message}).encode()
            self._send(refused.status, body, len(body))
            return
        stated = len(body) // 2 if fault == "torn" else len(body)
        self._send(HTTPStatus.OK, body if not fault else body[: len(body) // 2], stated)
        if fault == "cut":
            self.close_connection = True

    def _check_token(self) -> None:
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "Send the header 'Authorization: Bearer <token>' with this API's token."
            )

    def _page(self) -> bytes:
        """Return the JSON text of the page that is asked for."""
        url = urlsplit(self.path)
        name = url.path.strip("/")
        if name not in ENTITIES:
            raise Refused(HTTPStatus.NOT_FOUND, f"No {url.path}; there is {' and '.join('/' + e for e in ENTITIES)}.")
        asked = dict(parse_qsl(url.query))
        if unknown := sorted(set(asked) - set(PARAMETERS)):
            raise Refused(HTTPStatus.BAD_REQUEST, f"No parameter {unknown[0]}; there are {', '.join(PARAMETERS)}.")
        size = whole(asked, "page_size", PAGE_SIZE)
        if size > LARGEST_PAGE:
            raise Refused(HTTPStatus.BAD_REQUEST, f"page_size is {size}; a page has {LARGEST_PAGE} records at most.")
        return page(self.server.resource(name), size, whole(asked, "page", 0), asked)

    def _send(self, status: HTTPStatus, body: bytes, stated: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(stated))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.send_header("Retry-After", str(self.server.misbehave.retry_after))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the pipeline's output is its own."""


def load(path: Path, name: str, stamp: tuple[int, int, int]) -> Resource:
    """Return a resource's state, its records rendered once for all requests."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        table = connection.sql(
            f"select to_json({_RECORDS[name]})::varchar || ',' as record,"
            f" cast(substr({name[:-1]}_id, 2) as bigint) as number, epoch(updated_at)::bigint as updated"
            " from read_parquet($path) order by number",
            params={"path": glob.escape(str(path))},
        ).to_arrow_table()
    records = table["record"].cast(pa.large_string()).combine_chunks()
    return Resource(stamp, records, table["number"].to_numpy(), table["updated"].to_numpy())


def page(resource: Resource, size: int, number: int, asked: dict[str, str]) -> bytes:
    """Return a page: the records after `cursor`, or the numbered page, of those changed since `updated_since`."""
    since = asked.get("updated_since")
    kept = None if since is None else np.flatnonzero(resource.updated >= seconds(since))
    numbers = resource.numbers if kept is None else resource.numbers[kept]
    first = int(np.searchsorted(numbers, whole(asked, "cursor", 0), side="right"))
    if number:
        first = (number - 1) * size
    last = min(first + size, len(numbers))
    rows = resource.records[first:last] if kept is None else resource.records.take(pa.array(kept[first:last]))
    following = str(numbers[last - 1]) if first < last < len(numbers) else None
    about = json.dumps({"page_size": size, "total": len(numbers), "next_cursor": following})
    return b'{"data":[' + joined(rows) + b"]," + about[1:].encode()


def joined(rows: pa.LargeStringArray) -> bytes:
    """Return the texts as one, without the last comma."""
    if not len(rows):
        return b""
    _, offsets, text = rows.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)
    return bytes(memoryview(text)[ends[rows.offset] : ends[rows.offset + len(rows)] - 1])


def whole(asked: dict[str, str], name: str, default: int) -> int:
    """Return a parameter that is a whole number from 1 up (and not beyond any id), or the default."""
    value = asked.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 10**15):
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name} is {value[:40]!r}; it must be a whole number from 1 up.")
    return int(value)


def seconds(text: str) -> float:
    """Return a time in ISO 8601, UTC where it names no zone, as UTC seconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"updated_since is {text[:40]!r}; it must be a time like 2025-12-31T23:00:00Z."
        raise Refused(HTTPStatus.BAD_REQUEST, message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@contextlib.contextmanager
def serving(
    folder: Path, *, token: str, misbehave: Misbehaviour | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[str]:
    """Serve the state below `folder` (the systems' folder) in the background; the value is the base URL.

    Port 0 takes a free one. At the end the port is free again and no connection is left.
    """
    server = Server(Path(folder), token, misbehave or Misbehaviour(), host, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.address
    finally:
        server.stop()
        thread.join()


@contextlib.contextmanager
def simulated(folder: str) -> Iterator[dict[str, str]]:
    """Serve the simulated shop whose systems lie in a folder; the value is the address and a token made for it.

    Raises SourceError where there is no shop to serve.
    """
    if not (Path(folder) / FOLDER).is_dir():
        raise SourceError(f"There is no simulated shop in {folder} yet. Run 01_generate first.")
    token = secrets.token_urlsafe(24)
    with serving(Path(folder), token=token) as address:
        yield {"url": address, "token": token}


def main(
    data_dir: Annotated[
        Path, typer.Option(help="Folder of the shop's data; its systems lie in sources/ below it.")
    ] = Path("data"),
    port: Annotated[int, typer.Option(help="Port on the loopback address; 0 takes a free one.")] = 8080,
    errors: Annotated[float, typer.Option(min=0, max=1, help="Share of requests answered with 500.")] = 0.0,
    throttled: Annotated[float, typer.Option(min=0, max=1, help="Share answered with 429 and Retry-After.")] = 0.0,
    cut_off: Annotated[float, typer.Option(min=0, max=1, help="Share of answers cut off halfway.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of what goes wrong.")] = 0,
) -> None:
    """Serve the simulated shop's customers and products on this machine until Ctrl-C.

    Clients send the token that the environment variable SHOP_API_TOKEN holds.
    """
    token = os.environ.get("SHOP_API_TOKEN", "")
    if not token:
        raise SystemExit("No token: set the environment variable SHOP_API_TOKEN to the one clients have to send.")
    folder = data_dir / "sources"
    if not (folder / FOLDER).is_dir():
        raise SystemExit(
            f"No shop in {folder}. Run the notebook 01_generate first, or name its folder with --data-dir."
        )
    misbehave = Misbehaviour(errors, throttled, cut_off, seed=seed)
    try:
        with serving(folder, token=token, misbehave=misbehave, port=port) as address:
            typer.echo(f"Serving {', '.join('/' + name for name in ENTITIES)} at {address} (stop with Ctrl-C)")
            threading.Event().wait()
    except OSError as error:
        raise SystemExit(f"Port {port} cannot be used ({error.strerror}). Choose another with --port.") from None
    except KeyboardInterrupt:
        typer.echo("Stopped.")


if __name__ == "__main__":
    typer.run(main)
