"""Asking a REST API for one page after the other: retries, waiting as told, and what a page's answer says.

Which pages are asked for is the entity's `paging`; what becomes of the records is in `rest`.
"""

import contextlib
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import duckdb

from lib.base.errors import SourceError, did_you_mean
from lib.base.secrets import mask
from lib.sources.json_lines import LONG_NUMBER, keep_digits, pointer

if TYPE_CHECKING:
    import httpx
    import tenacity

    from lib.sources.rest import RestEntity, RestSource

#: Waits before a retry: about this long before the first one, twice as long each time, up to the longest.
BACK_OFF_SECONDS, LONGEST_BACK_OFF = 0.5, 30.0
#: A server that says when to come back is waited for up to so long.
LONGEST_WAIT = 300.0
CONNECT_SECONDS = 10.0

_ESCAPES = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..|\\.")


@dataclass(frozen=True)
class Page:
    """One answer: the JSON text of its list of records, their number, the stated total, and where to go on."""

    records: str
    count: int
    total: int | None = None
    following: str = ""


class Again(Exception):  # noqa: N818 - no error yet: what is worth another try
    """An answer that another try may better; `wait` is how many seconds the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@contextlib.contextmanager
def open_client(source: "RestSource") -> Iterator["httpx.Client"]:
    """Open a client that sends the source's token and headers with each request."""
    import httpx

    headers = {"Accept": "application/json", **source.headers}
    if source.token:
        headers["Authorization"] = f"Bearer {source.token}"
    local = urlsplit(source.url).hostname in ("localhost", "127.0.0.1", "::1")
    timeout = httpx.Timeout(source.timeout_seconds, connect=min(CONNECT_SECONDS, source.timeout_seconds))
    # A proxy named in the environment is not asked for what runs on this machine. Redirections are not followed: the
    # token goes where the configuration says. Plain HTTP has no certificates, which take time to load.
    tls = source.url.startswith("https:")
    with httpx.Client(headers=headers, timeout=timeout, trust_env=not local, verify=tls) as client:
        yield client


def walk(
    source: "RestSource",
    spec: "RestEntity",
    path: str,
    client: "httpx.Client",
    connection: duckdb.DuckDBPyConnection,
    parameters: Mapping[str, str],
) -> Iterator[Page]:
    """Yield every page, from the first to the last.

    Raises SourceError where an answer cannot be had or used, or where the same page comes again and again.
    """
    first = f"{source.url.rstrip('/')}/{path.lstrip('/')}"
    asked: dict[str, Any] = {**spec.parameters, **parameters}
    if spec.paging != "none" and spec.size_parameter:
        asked[spec.size_parameter] = source.page_size
    url, number, seen = first, 0, 0
    previous: Page | None = None
    while True:
        if spec.paging == "page":
            asked[spec.position_parameter] = spec.first_page + number
        elif spec.paging == "offset":
            asked[spec.position_parameter] = seen
        page = ask(source, spec, client, connection, url, asked)
        if previous and page.count and page.records == previous.records:
            how = (
                f"{spec.position_parameter!r} may be no parameter of its" if spec.position_parameter else "check 'next'"
            )
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


def _is_last(spec: "RestEntity", page: Page, previous: Page | None, seen: int) -> bool:
    """Return whether no page follows; one that holds less than was asked for says nothing, one without records does."""
    if spec.paging in ("page", "offset"):
        return page.count == 0 or (page.total is not None and seen >= page.total)
    # Behind a filter a page may be empty and others follow, but not for ever.
    twice_empty = previous is not None and previous.count == page.count == 0
    return spec.paging == "none" or not page.following or twice_empty


def ask(
    source: "RestSource",
    spec: "RestEntity",
    client: "httpx.Client",
    connection: duckdb.DuckDBPyConnection,
    url: str,
    parameters: Mapping[str, Any],
) -> Page:
    """Return the page at a URL, trying again where that may help; raise SourceError where it does not."""
    import tenacity

    def pause(state: "tenacity.RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Again) and error.wait is not None:
            return error.wait
        whole = min(BACK_OFF_SECONDS * 2 ** (state.attempt_number - 1), LONGEST_BACK_OFF)
        # Clients that failed together must not come back together.
        return whole * random.uniform(0.5, 1)

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Again),
        stop=tenacity.stop_after_attempt(source.retries + 1),
        wait=pause,
        reraise=True,
    )
    try:
        return tries(lambda: _ask_once(source, spec, client, connection, url, parameters))
    except Again as error:
        times = "once" if source.retries == 0 else f"{source.retries + 1} times in a row"
        raise SourceError(
            f"{shown(url)} was asked {times} in vain; the last time it {error}. Run again later,"
            " or raise 'retries' or 'timeout_seconds' of this source."
        ) from None


def _ask_once(
    source: "RestSource",
    spec: "RestEntity",
    client: "httpx.Client",
    connection: duckdb.DuckDBPyConnection,
    url: str,
    parameters: Mapping[str, Any],
) -> Page:
    import httpx

    try:
        response = client.get(url, params=dict(parameters) or None)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise SourceError(
            f"{shown(url)} cannot be reached ({mask(str(error)) or 'no answer'})."
            " Check 'url' of this source, and that the server runs."
        ) from None
    except httpx.TimeoutException:
        raise Again(f"did not answer within {source.timeout_seconds:g} seconds") from None
    except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.DecodingError) as error:
        raise Again(f"broke off its answer ({mask(str(error)) or type(error).__name__})") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{shown(url)} cannot be asked: {mask(str(error))}. Check 'url' of this source.") from None
    status = response.status_code
    if 200 <= status < 300:
        return _page(response, spec, connection, url)
    said = " ".join(mask(response.text).split())[:200]
    said = f" and said {said!r}" if said else ""
    if status == 429 or status >= 500:
        wait = _retry_after(response.headers.get("Retry-After", ""))
        if wait is not None and wait > LONGEST_WAIT:
            raise SourceError(f"{shown(url)} answered {status} and asks to wait {wait:,.0f} seconds. Run again then.")
        raise Again(f"answered {status}{said}", wait)
    if elsewhere := response.headers.get("Location", ""):
        said = f" and leads to {shown(elsewhere)}"
    if status in (401, 403):
        raise SourceError(
            f"{shown(url)} answered {status}{said}. Check 'token' of this source, or the environment variable it names."
        )
    raise SourceError(
        f"{shown(url)} answered {status}{said}. Check 'url' of this source, and 'path' and 'parameters' of this entity."
    )


def _page(response: "httpx.Response", spec: "RestEntity", connection: duckdb.DuckDBPyConnection, url: str) -> Page:
    """Return what an answer says; raise Again where it is no JSON, SourceError where it holds no list of records."""
    try:
        text = response.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Again("answered text that is no UTF-8") from None
    if re.search(LONG_NUMBER, text):
        text = keep_digits(text)
    (valid,) = connection.execute("select json_valid(?)", [text]).fetchone() or (False,)
    if not valid:
        # JSON may hold halves of a character, which no database stores.
        text = _ESCAPES.sub(lambda found: "\\ufffd" if len(found[0]) == 6 else found[0], text)
        (valid,) = connection.execute("select json_valid(?)", [text]).fetchone() or (False,)
    if not valid:
        raise Again(f"answered what is no JSON, or not all of it: it starts with {mask(text[:60])!r}")
    records, following, total = place_of(spec.records), place_of(spec.next or "-"), place_of(spec.total or "-")
    found = connection.execute(
        "select json_type(body, $records), json_extract(body, $records), json_array_length(body, $records),"
        " json_extract_string(body, $next), json_extract_string(body, $total),"
        " case when json_type(body) = 'OBJECT' then json_keys(body) end from (select $body::json as body)",
        {"body": text, "records": records, "next": following, "total": total},
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
    whole = int(stated) if stated and stated.isdigit() else None
    return Page(rows, int(count), whole, next_page or "")


def place_of(dotted: str) -> str:
    """Return a dotted path as a JSON pointer; the empty path is the whole answer."""
    return pointer(tuple(dotted.split("."))) if dotted else ""


def shown(url: str) -> str:
    """Return a URL for messages: without what stands behind the question mark, which may be a key."""
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
