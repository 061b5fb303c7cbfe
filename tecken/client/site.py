"""Talks HTTP to the server and to its storage: deadlines, attempts, and answers turned into errors.

Failed      not this file, or not this archive; trying again changes nothing
Refused     nothing at all: the URL or the token is wrong
TryLater    an answer that asks for patience; raised when the attempts are used up
Unreachable no answer at all. A server that never answered is given up within seconds, since its URL may be
            wrong; one that did may be restarting, and is tried for two minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from types import TracebackType
from typing import Any, Final, Self

import httpx
import stamina

from tecken.redaction import redact_url

ATTEMPTS: Final = 8  # with pauses of 1, 2, 4 ... seconds: two minutes
# Attempts to reach a server that never answered.
FIRST_ATTEMPTS: Final = 3
LONGEST_PAUSE: Final = 300.0  # seconds; with a longer Retry-After we leave
# The answer to a zip comes when all of it is stored.
TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0, read=900.0)
# Of a question that costs the server nothing.
QUICK: Final = httpx.Timeout(10.0, connect=5.0)
TEMPORARY: Final = (408, 425, 429)
TOLD: Final = 300  # characters of an answer


class Failed(Exception):
    """The server or its storage will not take this. `said` is the server's answer."""

    def __init__(self, message: str, said: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.said = said or {}


class Refused(Exception):
    """The server takes nothing from us, or is none. `status` of its answer, if it gave one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class TryLater(Exception):
    """`retry_after` in seconds, where the server said it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(TryLater):
    """No connection, or one that broke before the answer."""


class Site:
    """A server at `url`; a context manager, since it holds sockets."""

    def __init__(self, url: str, token: str, attempts: int = ATTEMPTS) -> None:
        self.url = f"{url.rstrip('/')}/"
        agent = {"User-Agent": f"tecken-upload/{own_version()}"}
        self._server = httpx.Client(headers={**agent, "Auth-Token": token}, timeout=TIMEOUT)
        self._storage = httpx.Client(headers=agent, timeout=TIMEOUT)  # which must never see the token
        self._has_answered = False
        self._failures = 0
        self._retry = stamina.RetryingCaller(
            attempts=attempts, timeout=None, wait_initial=1.0, wait_max=60.0, wait_jitter=1.0
        ).on(self._is_worth_another_try)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """`body` as httpx takes it; an opened file in it is sent from its start in each attempt.

        Raises Failed, Refused or TryLater.
        """
        answer = self._retry(_ask, self._server, "POST", self.url + path, **body)
        self._has_answered = True
        if answer.status_code in (401, 403, 404) or answer.has_redirect_location:
            raise Refused(_told(answer), answer.status_code)
        if not answer.is_success:
            raise Failed(_told(answer), _said(answer))
        if (said := _said(answer)) is None:
            raise Refused(f"{redact_url(str(answer.url))}: no Tecken server answers there")
        return said

    def put(self, url: str, headers: Mapping[str, str], chunks: Callable[[], Iterable[bytes]]) -> None:
        """To the storage. `headers` have a Content-Length. Raises Failed or TryLater."""

        def attempt() -> httpx.Response:
            return _ask(self._storage, "PUT", url, headers=headers, content=chunks())

        answer = self._retry(attempt)
        if not answer.is_success:
            raise Failed(_told(answer))

    def _is_worth_another_try(self, error: Exception) -> bool | float:
        """Return for stamina whether to try again, or after how many seconds."""
        if isinstance(error, Unreachable) and not self._has_answered:
            self._failures += 1
            return self._failures < FIRST_ATTEMPTS
        self._has_answered = True
        return _worth_another_try(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._storage.close()


def _ask(client: httpx.Client, method: str, url: str, **body: Any) -> httpx.Response:
    try:
        answer = client.request(method, url, **body)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Refused(f"{redact_url(url)}: {error}") from error
    except httpx.TransportError as error:
        place = redact_url(url).partition("?")[0]
        raise Unreachable(f"{method} {place}: {str(error) or type(error).__name__}") from error
    if answer.status_code >= 500 or answer.status_code in TEMPORARY:
        raise TryLater(_told(answer), retry_after(answer.headers.get("Retry-After")))
    return answer


def _told(answer: httpx.Response) -> str:
    """One line."""
    url = redact_url(str(answer.url.copy_with(query=None)))
    place = f"{answer.request.method} {url}: {answer.status_code}"
    if answer.has_redirect_location:
        return f"{place} It is now at {redact_url(answer.headers['Location'])}"
    text = str((_said(answer) or {}).get("error", answer.text))
    return f"{place} {' '.join(text[:TOLD].split()) or answer.reason_phrase}"


def _said(answer: httpx.Response) -> dict[str, Any] | None:
    """The JSON object in it, if it has one."""
    with suppress(ValueError):
        said = answer.json()
        if isinstance(said, dict):
            return said
    return None


def _worth_another_try(error: Exception) -> bool | float:
    """For stamina: whether, or after how many seconds."""
    if not isinstance(error, TryLater):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after <= LONGEST_PAUSE and error.retry_after


def own_version() -> str:
    """Return the version of this program; of a checkout that is not installed there is none."""
    try:
        return metadata.version("tecken")
    except metadata.PackageNotFoundError:
        return "unknown"


def retry_after(header: str | None) -> float | None:
    """Seconds, from a Retry-After header: seconds or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
