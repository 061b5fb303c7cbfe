"""Requests of `tecken-symbolicate`: attempts, pauses, and the errors that decide its exit status."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final

import httpx

from tecken.client import __version__
from tecken.client.site import AUTHORITY_HINT, UNTRUSTED, load_authorities, parse_retry_after
from tecken.errors import redact_url

# The server answers within `symbolicate_deadline_seconds` and the time for its lookups.
TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0, read=120.0)
ATTEMPTS: Final = 3
# Seconds. With a longer Retry-After the program gives up.
MAX_PAUSE: Final = 30.0
BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
REFUSALS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


class Refused(Exception):
    """Error for a report that the server does not accept. The text has the reason."""


class NoServer(Exception):
    """Error for an address at which no Tecken server is, or one whose certificate is not trusted."""


class Busy(Exception):
    """Error for a server that is unreachable, or has no time for the request."""


def open_client() -> httpx.Client:
    """Return a client that trusts the authorities of the system."""
    headers = {"User-Agent": f"tecken-symbolicate/{__version__}"}
    return httpx.Client(headers=headers, timeout=TIMEOUT, verify=load_authorities())


def exchange(
    client: httpx.Client,
    method: str,
    address: str,
    content: Callable[[], bytes | Iterable[bytes]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Return the response of a server that accepts a request, or that does not know its address.

    Args:
        client: Client of `open_client`.
        method: Method of the request.
        address: Address of the request.
        content: Function that returns the body; each attempt sends it from its start.
        headers: Further headers.

    Raises:
        Refused: The server does not accept the body.
        NoServer: The address is none, or its certificate is not trusted.
        Busy: All attempts are used up, or the server fails.
    """
    for attempt in range(1, ATTEMPTS + 1):
        response = _request(client, method, address, content() if content else None, headers)
        if response.status_code not in BUSY:
            break
        pause = parse_retry_after(response.headers.get("Retry-After"))
        if attempt == ATTEMPTS or pause is None or pause > MAX_PAUSE:
            raise Busy(read_error(response))
        print_remark(f"{read_error(response)}; trying again in {pause:.0f} s")
        time.sleep(pause)
    if response.status_code in REFUSALS:
        raise Refused(read_error(response))
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Busy(f"{redact_url(address)}: {response.status_code} {response.reason_phrase}")
    return response


def _request(
    client: httpx.Client,
    method: str,
    address: str,
    content: bytes | Iterable[bytes] | None,
    headers: Mapping[str, str] | None,
) -> httpx.Response:
    try:
        return client.request(method, address, content=content, headers=headers)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise NoServer(f"{redact_url(address)}: {error}") from error
    except httpx.TransportError as error:
        if UNTRUSTED in str(error):
            raise NoServer(f"{redact_url(address)}: {error}; {AUTHORITY_HINT}") from error
        raise Busy(f"{redact_url(address)}: {str(error) or type(error).__name__}") from error


def read_error(response: httpx.Response) -> str:
    """Return the text of an error, which is JSON or a line of text."""
    try:
        document = response.json()
    except ValueError:
        return " ".join(response.text.split()) or response.reason_phrase
    return str(document.get("error", document)) if isinstance(document, dict) else str(document)


def is_page(response: httpx.Response) -> bool:
    """Return whether a response is a page for people: a Tecken server sends none to this program."""
    return "html" in response.headers.get("Content-Type", "")


def print_remark(message: str) -> None:
    """Print a line about something that needs attention."""
    print(f"tecken-symbolicate: {message}", file=sys.stderr)
