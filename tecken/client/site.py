"""HTTP to the server and to its storage: deadlines, retries, and responses turned into errors.

    Failed       this file or archive is not accepted; another attempt would change nothing
    RequestRefused      nothing is accepted: the URL or the token is wrong
    TryLater     the response is temporary; raised when the attempts are used up
    Unreachable  no response at all

A server that has never responded is given up within seconds, because its URL may be wrong. One that has
responded may be restarting, and is tried for two minutes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.request import getproxies, proxy_bypass

import certifi
import httpx
import stamina

from tecken.client import __version__
from tecken.errors import redact_url

# The pauses between them are 1, 2, 4 ... seconds: two minutes in all.
ATTEMPTS: Final = 8
# Attempts to reach a server that has never responded.
FIRST_ATTEMPTS: Final = 3
# Seconds. With a longer Retry-After the program gives up.
MAX_PAUSE: Final = 300.0
# The server responds to an archive when all of it is stored.
TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0, read=900.0)
# For the first request, which costs the server nothing.
QUICK: Final = httpx.Timeout(10.0, connect=3.0)
# Seconds until the name of the server is given up; the resolver of the system may take a minute.
RESOLVED_WITHIN: Final = 10.0
TEMPORARY: Final = (408, 425, 429)
# Statuses of other servers that never become right.
LASTING: Final = (501, 505)
MAX_TEXT: Final = 300
"""Characters of a response in an error."""
UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
AUTHORITY_HINT: Final = "SSL_CERT_FILE can name your authority's file"
NO_SERVER: Final = "no Tecken server answers there; give its address, such as https://symbols.example.com"


class Failed(Exception):
    """Error for a file or archive that the server or its storage does not accept.

    `status` is that of the response, and `document` its JSON.
    """

    def __init__(self, message: str, status: int = 0, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = document or {}


class RequestRefused(Exception):
    """Error for a server that refuses the request, or is no Tecken server.

    `status` is that of its response, 0 without one.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class TryLater(Exception):
    """Error that may pass by itself. `retry_after` is in seconds, if the server has sent it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(TryLater):
    """Error for no connection, or one that broke before the response."""


class Site:
    """Server at `url`, and its storage. A context manager, because it holds sockets."""

    def __init__(self, url: str, token: str, attempts: int = ATTEMPTS) -> None:
        self.url = f"{url.rstrip('/')}/"
        agent = {"User-Agent": f"tecken-upload/{__version__}"}
        trusted = load_authorities()
        self._server = httpx.Client(headers={**agent, "Auth-Token": token}, timeout=TIMEOUT, verify=trusted)
        # A client of its own, because the storage must never see the token.
        self._storage = httpx.Client(headers=agent, timeout=TIMEOUT, verify=trusted)
        self.has_responded = False
        self._failures = 0
        self._retry = stamina.RetryingCaller(
            attempts=attempts, timeout=None, wait_initial=1.0, wait_max=60.0, wait_jitter=1.0
        ).on(self._should_retry)

    def open(self) -> dict[str, Any]:
        """Return the server's description of the token, so that a wrong one fails before any other work.

        Raises:
            RequestRefused: The server does not accept the token, or is no Tecken server.
            TryLater: The server cannot be reached, or is busy.
        """
        try:
            resolve(self.url)
            return self.post("upload/auth_info/", timeout=QUICK)
        except Unreachable as error:
            if self.has_responded:
                raise
            raise Unreachable(f"cannot reach {redact_url(self.url)}: {error.__cause__ or error}") from error
        except Failed as error:
            raise RequestRefused(str(error), error.status) from error
        except RequestRefused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        # Older servers have no such URL, and all of them have this one.
        if not self._has_version():
            raise RequestRefused(f"{redact_url(self.url)}: {NO_SERVER}")
        return {}

    def _has_version(self) -> bool:
        response = self._retry(_request, self._server, "GET", f"{self.url}__version__", timeout=QUICK)
        return response.is_success and _read_document(response) is not None

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Send a request to the server and return the JSON of its response.

        `body` is in httpx's arguments. An open file in it is sent from its start in each attempt.

        Raises:
            Failed: The server does not accept it.
            RequestRefused: The server does not accept the token, or is no Tecken server.
            TryLater: All attempts are used up.
        """
        response = self._retry(_request, self._server, "POST", self.url + path, **body)
        self.has_responded = True
        if response.status_code in (401, 403, 404) or response.has_redirect_location:
            raise RequestRefused(_describe(response), response.status_code)
        document = _read_document(response)
        if not response.is_success:
            raise Failed(_describe(response), response.status_code, document)
        if document is None:
            raise RequestRefused(f"{redact_url(str(response.url))}: {NO_SERVER}")
        return document

    def put(self, url: str, headers: Mapping[str, str], chunks: Callable[[], Iterable[bytes]]) -> None:
        """Send a file to the storage. `headers` have a Content-Length.

        Raises:
            Failed: The storage does not accept it.
            TryLater: All attempts are used up.
        """

        def attempt() -> httpx.Response:
            return _request(self._storage, "PUT", url, headers=headers, content=chunks())

        response = self._retry(attempt)
        if not response.is_success:
            raise Failed(_describe(response), response.status_code)

    def _should_retry(self, error: Exception) -> bool | float:
        """Return for stamina whether to try again, or after how many seconds."""
        if isinstance(error, Unreachable) and not self.has_responded:
            self._failures += 1
            # A second wait of the same length would have the same result.
            is_timeout = isinstance(error.__cause__, httpx.TimeoutException)
            return self._failures < FIRST_ATTEMPTS and not is_timeout
        if isinstance(error, TryLater):
            self.has_responded = True
        return _find_pause(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._storage.close()


def load_authorities() -> ssl.SSLContext:
    """Return the authorities of the system, to which a company adds its own, and those of certifi."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _request(client: httpx.Client, method: str, url: str, **body: Any) -> httpx.Response:
    try:
        response = client.request(method, url, **body)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise RequestRefused(f"{redact_url(url)}: {error}") from error
    except httpx.TransportError as error:
        place = redact_url(url).partition("?")[0]
        if UNTRUSTED in str(error):
            raise RequestRefused(f"{place}: {error}; {AUTHORITY_HINT}") from error
        raise Unreachable(f"{method} {place}: {str(error) or type(error).__name__}") from error
    if (
        response.status_code >= 500 and response.status_code not in LASTING
    ) or response.status_code in TEMPORARY:
        raise TryLater(_describe(response), parse_retry_after(response.headers.get("Retry-After")))
    return response


def resolve(url: str) -> None:
    """Look up the name of the server, unless a proxy does that.

    httpx has no deadline for this, so it happens in a thread, which is left behind when time is up.

    Raises:
        RequestRefused: It is no URL.
        Unreachable: The name is unknown, or the resolver does not answer in time.
    """
    try:
        place = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise RequestRefused(f"{redact_url(url)}: {error}") from error
    host = place.raw_host.decode()
    if place.scheme not in ("http", "https") or not host:
        raise RequestRefused(f"{redact_url(url)}: the address of a server begins with https:// or http://")
    if place.scheme in getproxies() and not proxy_bypass(host):
        return
    answers: SimpleQueue[OSError | UnicodeError | None] = SimpleQueue()

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None)
            answers.put(None)
        except (OSError, UnicodeError) as error:
            answers.put(error)

    Thread(target=look_up, daemon=True).start()
    try:
        problem = answers.get(timeout=RESOLVED_WITHIN)
    except Empty:
        raise Unreachable(f"the name {host} was not resolved within {RESOLVED_WITHIN:.0f} s") from None
    if problem:
        reason = (isinstance(problem, OSError) and problem.strerror) or problem
        raise Unreachable(f"the name {host} cannot be resolved: {reason}")


def _describe(response: httpx.Response) -> str:
    """Return one line about an error response."""
    url = redact_url(str(response.url.copy_with(query=None)))
    place = f"{response.request.method} {url}: {response.status_code}"
    if response.has_redirect_location:
        return f"{place} It is now at {redact_url(response.headers['Location'])}"
    if response.headers.get("Content-Type", "").startswith("text/html"):
        # Each Tecken server answers programs with JSON.
        return f"{place} {response.reason_phrase}: {NO_SERVER}"
    text = str((_read_document(response) or {}).get("error", response.text))
    return f"{place} {' '.join(text[:MAX_TEXT].split()) or response.reason_phrase}"


def _read_document(response: httpx.Response) -> dict[str, Any] | None:
    """Return the JSON object in the response, or None."""
    with suppress(ValueError):
        document = response.json()
        if isinstance(document, dict):
            return document
    return None


def _find_pause(error: Exception) -> bool | float:
    """Return for stamina whether to try again, or after how many seconds."""
    if not isinstance(error, TryLater):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after <= MAX_PAUSE and error.retry_after


def parse_retry_after(header: str | None) -> float | None:
    """Return the seconds in a Retry-After header, which has seconds or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
