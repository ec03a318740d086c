"""A JSON API over HTTP: how it is configured, and its answers, page after page.

What becomes of the records is in `rest`.
"""

import contextlib
import importlib
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast
from urllib.parse import urljoin, urlsplit

import duckdb
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lib.base.errors import SourceError, SourceUnavailableError, did_you_mean
from lib.base.secrets import keep_secret, mask
from lib.config import EntitySource, Lookup, Source
from lib.sources.json import LONG_NUMBER, Rows, keep_digits, pointer, steps_of

if TYPE_CHECKING:
    import httpx
    import tenacity

#: Waits before a retry: about this long before the first one, twice as long each time, up to the longest.
BACK_OFF_SECONDS, LONGEST_BACK_OFF = 0.5, 30.0
#: The longest wait that is granted to a server which states one.
LONGEST_WAIT = 300.0
CONNECT_SECONDS = 10.0

_SECRET_HEADER = re.compile("auth|key|secret|token|cookie", re.IGNORECASE)
_ESCAPES = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..|\\.")


class RestEntity(EntitySource):
    """Where an API serves an entity, and how it pages."""

    path: str = ""
    records: str = "data"
    key: tuple[str, ...] = ()
    mode: Literal["snapshot", "changes"] = "snapshot"
    paging: Literal["cursor", "page", "offset", "link", "none"] = "cursor"
    position_parameter: str = ""
    size_parameter: str = "page_size"
    first_page: int = Field(1, ge=0)
    next: str = "next_cursor"
    total: str = ""
    since_parameter: str = "updated_since"
    overlap_seconds: int = Field(86_400, ge=0)
    rows: Rows = ()
    parameters: dict[str, str] = Field({})

    table_places: ClassVar[tuple[str, ...]] = ("path",)
    table_options: ClassVar[tuple[str, ...]] = (
        "records", "paging", "position_parameter", "size_parameter", "first_page", "next", "total", "rows",
        "parameters",
    )  # fmt: skip

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _usual_position(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("position_parameter"):
            paging = values.get("paging", "cursor")
            return values | {"position_parameter": paging if paging in ("cursor", "page", "offset") else ""}
        return values

    def as_here(self, lookup: Lookup) -> dict[str, Any]:
        shared = {"records", "paging", "position_parameter", "size_parameter", "first_page", "next", "total"}
        if "paging" in lookup.options:
            shared.remove("position_parameter")
        return {**self.model_dump(include=shared), "key": lookup.key}

    @property
    def reader(self) -> dict[str, Any]:
        options = {"path": self.path, "records": self.records, "key": self.key, "parameters": self.parameters}
        return options | ({"rows": self.rows} if self.rows else {})

    def column_of(self, ours: str) -> str:
        """Return the API's name of one of our columns, empty where it has none."""
        return self.column_named(ours)


class Server(BaseModel):
    """A server of this machine that runs only while the source is read: a Python context manager and its arguments.

    It is named `package.module:function`, and yields the keys of the source that it decides: `url`, and often `token`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, str] = Field({})


class RestSource(Source):
    """A JSON API: its address, the token it asks for, and how patiently it is asked.

    Where `url` is empty, `server` is started.
    """

    kind: Literal["rest"]
    url: str = ""
    server: Server | None = None
    token: str = Field("", repr=False)
    headers: dict[str, str] = Field({}, repr=False)
    page_size: int = Field(1_000, gt=0)
    timeout_seconds: float = Field(30, gt=0)
    retries: int = Field(5, ge=0)
    entities: dict[str, RestEntity] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address that starts with https:// or http://")
        return value

    @field_validator("token")
    @classmethod
    def _without_line_end(cls, value: str) -> str:
        return value.strip()

    @model_validator(mode="after")
    def _has_an_address(self) -> "RestSource":
        if not self.url and not self.server:
            raise ValueError("give 'url', or 'server' where one is to be started")
        return self


@dataclass(frozen=True)
class Page:
    """One answer: the JSON text of its list of records, their number, the stated total, and where to go on."""

    records: str
    count: int
    total: int | None = None
    following: str = ""


class _RetryError(Exception):
    """An answer that another try may better; `wait` is how many seconds the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Api:
    """An open connection to a source's API."""

    source: RestSource
    client: "httpx.Client"

    def address(self, path: str) -> str:
        return f"{self.source.url.rstrip('/')}/{path.lstrip('/')}"

    def pages(
        self, spec: RestEntity, path: str, connection: duckdb.DuckDBPyConnection, parameters: Mapping[str, str]
    ) -> Iterator[Page]:
        """Yield every page, from the first to the last.

        Raises SourceError where an answer cannot be had or used, or where the same page comes again and again.
        """
        url = first = self.address(path)
        asked: dict[str, Any] = {**spec.parameters, **parameters}
        if spec.paging != "none" and spec.size_parameter:
            asked[spec.size_parameter] = self.source.page_size
        number, seen = 0, 0
        previous: Page | None = None
        while True:
            if spec.paging == "page":
                asked[spec.position_parameter] = spec.first_page + number
            elif spec.paging == "offset":
                asked[spec.position_parameter] = seen
            page = self._ask(spec, connection, url, asked)
            if previous and page.count and page.records == previous.records:
                parameter = spec.position_parameter
                how = f"{parameter!r} may be no parameter of its" if parameter else "check 'next'"
                raise SourceError(
                    f"{shown(url)} answers the same {page.count:,} records twice in a row: {how}."
                    " Correct 'paging' of this entity, or give 'paging: none' where one answer holds all."
                )
            yield page
            number, seen = number + 1, seen + page.count
            if _is_last(spec, page, previous, seen):
                return
            if previous and page.following and page.following == previous.following:
                raise SourceError(f"{shown(url)} names the same next page twice. Correct 'next' of this entity.")
            if spec.paging == "cursor":
                asked[spec.position_parameter] = page.following
            elif spec.paging == "link":
                url, asked = _same_server(urljoin(url, page.following), first), {}
            previous = page

    def _ask(self, spec: RestEntity, connection: duckdb.DuckDBPyConnection, url: str, asked: Mapping[str, Any]) -> Page:
        """Return the page at a URL, trying again where that may help; raise SourceError where it does not."""
        import tenacity

        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_RetryError),
            stop=tenacity.stop_after_attempt(self.source.retries + 1),
            wait=_pause,
            reraise=True,
        )
        try:
            return tries(lambda: _page(self._answer(url, asked), spec, connection, url))
        except _RetryError as error:
            times = f"{self.source.retries + 1} times in a row" if self.source.retries else "once"
            raise SourceUnavailableError(
                f"{shown(url)} was asked {times} in vain; the last time it {error}. Run again later,"
                " or raise 'retries' or 'timeout_seconds' of this source."
            ) from None

    def _answer(self, url: str, asked: Mapping[str, Any]) -> "httpx.Response":
        """Return what the API answers where it is a success."""
        import httpx

        try:
            response = self.client.get(url, params=dict(asked) or None)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise SourceUnavailableError(
                f"{shown(url)} cannot be reached ({mask(str(error)) or 'no answer'})."
                " Check 'url' of this source, and that the server runs."
            ) from None
        except httpx.TimeoutException:
            raise _RetryError(f"did not answer within {self.source.timeout_seconds:g} seconds") from None
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.DecodingError) as error:
            raise _RetryError(f"broke off its answer ({mask(str(error)) or type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceError(
                f"{shown(url)} cannot be asked: {mask(str(error))}. Check 'url' of this source."
            ) from None
        status = response.status_code
        if response.is_success:
            return response
        said = " ".join(mask(response.text).split())[:200]
        said = f" and said {said!r}" if said else ""
        if status == 429 or status >= 500:
            wait = _retry_after(response.headers.get("Retry-After", ""))
            if wait is not None and wait > LONGEST_WAIT:
                raise SourceError(
                    f"{shown(url)} answered {status} and asks to wait {wait:,.0f} seconds. Run again then."
                )
            raise _RetryError(f"answered {status}{said}", wait)
        if elsewhere := response.headers.get("Location", ""):
            said = f" and leads to {shown(elsewhere)}"
        check = "'url' of this source, and 'path' and 'parameters' of this entity"
        if status in (401, 403):
            check = "'token' of this source, or the environment variable it names"
        raise SourceError(f"{shown(url)} answered {status}{said}. Check {check}.")


@contextlib.contextmanager
def open_api(source: RestSource) -> Iterator[Api]:
    """Open a client that sends the source's token and headers with each request.

    Where the source has no address, its server is started first. Raises SourceError where either cannot be.
    """
    with contextlib.ExitStack() as stack:
        if not source.url and source.server:
            source = source.model_copy(update=stack.enter_context(_started(source.server)))
        yield Api(source, stack.enter_context(_client(source)))


def _started(server: Server) -> AbstractContextManager[Mapping[str, str]]:
    module, _, function = server.start.partition(":")
    try:
        start = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SourceError(
            f"The server {server.start!r} cannot be started: {error}. Expected package.module:function of a Python"
            " context manager. Correct 'server' of this source."
        ) from None
    return cast("AbstractContextManager[Mapping[str, str]]", start(**server.arguments))


def _client(source: RestSource) -> "httpx.Client":
    import httpx

    if not (source.token.isascii() and source.token.isprintable()):
        raise SourceError(f"The token for {shown(source.url)} holds a character that no HTTP header may. Set it anew.")
    for secret in (source.token, *(value for name, value in source.headers.items() if _SECRET_HEADER.search(name))):
        keep_secret(secret)
    headers = {"Accept": "application/json", **source.headers}
    if source.token:
        headers["Authorization"] = f"Bearer {source.token}"
    local = urlsplit(source.url).hostname in ("localhost", "127.0.0.1", "::1")
    timeout = httpx.Timeout(source.timeout_seconds, connect=min(CONNECT_SECONDS, source.timeout_seconds))
    # A proxy named in the environment is not asked for what runs on this machine. Redirections are not followed: the
    # token goes where the configuration says. Plain HTTP has no certificates, which take time to load.
    tls = source.url.startswith("https:")
    return httpx.Client(headers=headers, timeout=timeout, trust_env=not local, verify=tls)


def _pause(state: "tenacity.RetryCallState") -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _RetryError) and error.wait is not None:
        return error.wait
    # Clients that failed together must not come back together.
    return min(BACK_OFF_SECONDS * 2 ** (state.attempt_number - 1), LONGEST_BACK_OFF) * random.uniform(0.5, 1)


def _is_last(spec: RestEntity, page: Page, previous: Page | None, seen: int) -> bool:
    """Return whether no page follows: a short page need not be the last one, a page without records is."""
    if spec.paging in ("page", "offset"):
        return page.count == 0 or (page.total is not None and seen >= page.total)
    # Behind a filter a page may be empty and others follow, but not for ever.
    twice_empty = previous is not None and previous.count == page.count == 0
    return spec.paging == "none" or not page.following or twice_empty


def _page(response: "httpx.Response", spec: RestEntity, connection: duckdb.DuckDBPyConnection, url: str) -> Page:
    """Return the page that an answer holds; an answer that is no JSON is worth a retry.

    Raises SourceError where it holds no list of records.
    """
    try:
        text = response.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _RetryError("answered text that is no UTF-8") from None
    if re.search(LONG_NUMBER, text):
        text = keep_digits(text)
    if not _is_json(text, connection):
        # JSON may hold halves of a character, which no database stores.
        text = _ESCAPES.sub(lambda found: "\\ufffd" if len(found[0]) == 6 else found[0], text)
        if not _is_json(text, connection):
            raise _RetryError(f"answered what is no JSON, or not all of it: it starts with {mask(text[:60])!r}")
    places = {"records": spec.records, "next": spec.next or "-", "total": spec.total or "-"}
    found = connection.execute(
        "select json_type(body, $records), json_extract(body, $records), json_array_length(body, $records),"
        " json_extract_string(body, $next), json_extract_string(body, $total),"
        " case when json_type(body) = 'OBJECT' then json_keys(body) end from (select $body::json as body)",
        {"body": text, **{name: pointer(steps_of(place)) for name, place in places.items()}},
    ).fetchone()
    assert found is not None
    kind, rows, count, next_page, stated, keys = found
    if kind != "ARRAY":
        what = f"{spec.records!r} is {kind.lower()}" if kind else f"it has no {spec.records!r}"
        hint = did_you_mean(spec.records, keys or [])
        raise SourceError(
            f"{shown(url)} answered no list of records: {what if spec.records else 'it is no list'}; found"
            f" {', '.join(keys) if keys else 'no names at all'}.{hint} Correct 'records' of this entity."
        )
    if spec.paging == "link":
        next_page = next_page or response.links.get("next", {}).get("url")
    return Page(rows, int(count), int(stated) if stated and stated.isdigit() else None, next_page or "")


def _is_json(text: str, connection: duckdb.DuckDBPyConnection) -> bool:
    return connection.execute("select json_valid(?)", [text]).fetchone() == (True,)


def shown(url: str) -> str:
    """Return a URL for messages: without what follows the question mark, which may be a key."""
    return mask(url.partition("?")[0])


def _retry_after(text: str) -> float | None:
    """Return the seconds that a Retry-After header asks to wait (RFC 9110: a number, or a date), if it is one."""
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((then if then.tzinfo else then.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def _same_server(url: str, first: str) -> str:
    """Return the next page's URL; raise SourceError where it leads to another server, which must not get the token."""
    if urlsplit(url)[:2] != urlsplit(first)[:2]:
        raise SourceError(
            f"{shown(first)} names {shown(url)} as its next page, which is another server: the token is not sent there."
            " Check 'url' of this source: it must be the address that the server itself uses."
        )
    return url
