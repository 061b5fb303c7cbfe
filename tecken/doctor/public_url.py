"""Checks over the public URL: what the site receives through its proxies, and TLS.

The proxies are tested with headers that a client could forge. `/api/doctor/request/` shows what the site made
of them.
"""

from __future__ import annotations

import socket
import ssl
import time
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

import httpx

from tecken.doctor.checks import CheckEnded, CheckFinding, failed, ok, skipped, warning
from tecken.doctor.visitor import CERTIFICATE_STEP, Visitor, load_authorities, temporary_token
from tecken.errors import redact_url

NO_URL = skipped(
    "The URL of the site is not known.", "Give --url https://symbols.example.com, or set TECKEN_URL."
)


# The event loop answers /health/live without the headers of other responses.
READY = "/health/ready"


def check_site(url: str) -> CheckFinding:
    """Return whether the site answers at its URL, with its own headers."""
    if not url:
        return NO_URL
    with Visitor(url) as visitor:
        response = visitor.send("GET", READY)
    if not response.is_success:
        text = f"{redact_url(url)} answers {response.status_code} {response.reason_phrase} to {READY}."
        return failed(text, "Look into the logs of the proxy and of the web server.", transient=True)
    state = response.headers.get("X-Tecken-State")
    if state is None:
        text = f"{redact_url(url)} answers without X-Tecken-State: it is another site, or a proxy drops it."
        return failed(text, "Correct --url, or let the proxy pass all headers of responses.")
    if state != "ok":
        step = "docs/health.md#states describes each state and what to do."
        return warning(f"The site answers, and reports the state {state}.", step)
    return ok("The site answers, and reports the state ok.")


def read_versions(url: str, requests: int = 8) -> set[str]:
    """Return the versions that web processes report; each connection may reach another process."""
    versions = set()
    for _ in range(requests):
        with Visitor(url) as visitor:
            response = visitor.send("GET", "/__version__")
        if not response.is_success:
            # Without version.json the site does not report its version.
            return set()
        document = response.json()
        versions.add(" ".join(filter(None, (document.get("version"), document.get("commit", "")[:12]))))
    return versions


# Proxies

# An address for documentation (RFC 5737), which no client has.
FORGED_ADDRESS = "203.0.113.77"
PERMISSION = "runtimeconfig.view_option"


class Received(NamedTuple):
    """Facts of a request as the site received it; `/api/doctor/request/` returns them."""

    address: str
    is_secure: bool
    host: str
    forwarded_for: list[str]
    trusted_proxies: int


def check_proxies(url: str) -> CheckFinding:
    """Return whether the site sees the client's address, HTTPS and the host name as they are."""
    if not url:
        return NO_URL
    is_https = url.startswith("https:")
    forged = {"X-Forwarded-For": FORGED_ADDRESS, "X-Forwarded-Proto": "http" if is_https else "https"}
    with Visitor(url) as visitor, temporary_token(PERMISSION) as token:
        plain = _fetch(visitor, token, {})
        received = _fetch(visitor, token, forged)
    return (
        _judge_host(url, plain)
        or _judge_address(received)
        or _judge_scheme(is_https, plain, received)
        or _describe(received)
    )


def _fetch(visitor: Visitor, token: str, headers: dict[str, str]) -> Received:
    """Return how the site received a request. Raises CheckEnded."""
    response = visitor.send("GET", "/api/doctor/request/", token, headers=headers)
    if response.is_success:
        document: dict[str, Any] = response.json()
        return Received(**{name: document[name] for name in Received._fields})
    raise CheckEnded(_explain(response))


def _explain(response: httpx.Response) -> CheckFinding:
    if response.is_redirect:
        text = f"The site redirects a request to {redact_url(response.headers.get('Location', ''))}."
        step = "Let the proxy send X-Forwarded-Proto: https, and set TRUSTED_PROXIES to their number."
        return failed(text, step)
    status = response.status_code
    if status == HTTPStatus.BAD_REQUEST:
        host = response.request.url.host
        step = f"Add {host} to ALLOWED_HOSTS, and restart the web server."
        return failed(f"The site refuses the host name {host}.", step)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return skipped("The site is under maintenance, or a server behind it does not answer.")
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        text = f"The site does not accept a token that was made in the database of this command ({status})."
        return failed(text, "Run the command with the settings and the release of the site: DATABASE_URL.")
    text = f"The site answers {status} {response.reason_phrase} to a request of its API."
    return failed(text, "Look into the log of the web server.", transient=True)


def _judge_host(url: str, received: Received) -> CheckFinding | None:
    expected = urlsplit(url).netloc.rpartition("@")[2]
    if received.host.partition(":")[0] == expected.partition(":")[0]:
        return None
    text = f"The site receives the host name {received.host}, not {expected}: its links are wrong."
    return failed(text, "Let the proxy pass the Host header (nginx: proxy_set_header Host $host).")


def count_proxies(forwarded_for: list[str]) -> int:
    """Return how many proxies have added an address after the forged one; all if a proxy has replaced it."""
    if FORGED_ADDRESS not in forwarded_for:
        return len(forwarded_for)
    return len(forwarded_for) - 1 - forwarded_for.index(FORGED_ADDRESS)


def _judge_address(received: Received) -> CheckFinding | None:
    proxies, trusted = count_proxies(received.forwarded_for), received.trusted_proxies
    if proxies == trusted:
        return None
    step = f"Set TRUSTED_PROXIES={proxies}, and restart the web server."
    if trusted < proxies:
        text = (
            f"{proxies} proxies add the client's address, and TRUSTED_PROXIES is {trusted}: "
            "limits treat all clients as one."
        )
        return failed(text, step)
    text = f"TRUSTED_PROXIES is {trusted}, and {proxies} proxies add an address: clients can forge theirs."
    if not proxies:
        step += " Or let the proxy add X-Forwarded-For (nginx: $proxy_add_x_forwarded_for)."
    return failed(text, step)


def _judge_scheme(is_https: bool, plain: Received, forged: Received) -> CheckFinding | None:
    send = "Let the proxy set X-Forwarded-Proto itself (nginx: proxy_set_header X-Forwarded-Proto $scheme)"
    if is_https and not plain.is_secure:
        step = f"{send}, and set TRUSTED_PROXIES to the number of proxies."
        return failed("The URL is https, and the site sees http: links and cookies are not secure.", step)
    if plain.is_secure != forged.is_secure:
        return failed("A client can forge X-Forwarded-Proto: the proxy passes it on.", f"{send}.")
    return None


def _describe(received: Received) -> CheckFinding:
    proxies = received.trusted_proxies
    through = "without a proxy" if not proxies else f"through {proxies} prox{'y' if proxies == 1 else 'ies'}"
    scheme = "https" if received.is_secure else "http"
    return ok(
        f"The site sees this client as {received.address}, {through}, over {scheme}; neither can be forged."
    )


# TLS

TLS_SECONDS = 5.0
WARN_DAYS, FAIL_DAYS = 14, 3
HTTPS_PORT, HTTP_PORT = 443, 80
RENEW = "Renew the certificate, and look why that did not happen by itself."


def check_tls(url: str) -> CheckFinding:
    """Return whether the certificate is valid, HTTP leads to HTTPS, and browsers are told to use HTTPS."""
    if not url:
        return NO_URL
    parts = urlsplit(url)
    if parts.scheme != "https":
        return _judge_plain(parts)
    version, days = _shake_hands(parts.hostname or "", parts.port or HTTPS_PORT)
    text = f"The certificate is valid for {days:.0f} days, and the connection uses {version}"
    if days < WARN_DAYS:
        return (failed if days < FAIL_DAYS else warning)(f"{text}.", RENEW)
    if problem := _find_open_http(parts):
        return warning(f"{text}. {problem}", "Let the proxy redirect HTTP to HTTPS, or set HTTPS_ONLY=true.")
    if not _has_hsts(url):
        step = "Set HTTPS_ONLY=true, or let the proxy add Strict-Transport-Security."
        return warning(f"{text}. Browsers are not told to use HTTPS only (HSTS).", step)
    return ok(f"{text}; HTTP leads to HTTPS, and browsers are told to use HTTPS only.")


def _has_hsts(url: str) -> bool:
    with Visitor(url) as visitor:
        return "Strict-Transport-Security" in visitor.send("GET", "/health/").headers


def _judge_plain(parts: SplitResult) -> CheckFinding:
    if parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return skipped("The URL is http and of this host, which needs no TLS.")
    text = "The URL is http: tokens and sessions are readable on the way."
    return warning(text, "Put a proxy with TLS before the site, and give its https URL.")


def _shake_hands(host: str, port: int) -> tuple[str, float]:
    """Return the version of TLS, and for how many days the certificate is valid. Raises CheckEnded."""
    try:
        with (
            socket.create_connection((host, port), TLS_SECONDS) as plain,
            load_authorities().wrap_socket(plain, server_hostname=host) as sock,
        ):
            certificate = sock.getpeercert() or {}
            ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
            return sock.version() or "TLS", (ends_at - time.time()) / 86_400
    except ssl.SSLCertVerificationError as error:
        text = f"The certificate of {host} is not valid: {error.verify_message}."
        raise CheckEnded(failed(text, CERTIFICATE_STEP)) from error
    except OSError as error:
        text = f"There is no TLS connection to {host}:{port}: {error.strerror or type(error).__name__}."
        step = "Look whether the proxy listens there, and speaks TLS."
        raise CheckEnded(failed(text, step, transient=True)) from error


def _find_open_http(parts: SplitResult) -> str:
    """Return the problem that HTTP does not lead to HTTPS; empty where it does, or nothing listens."""
    if (parts.port or HTTPS_PORT) != HTTPS_PORT:
        # The port of HTTP is not known then.
        return ""
    try:
        response = httpx.get(f"http://{parts.hostname}/", timeout=TLS_SECONDS)
    except httpx.HTTPError:
        return ""
    if response.is_redirect and response.headers.get("Location", "").startswith("https://"):
        return ""
    return f"http://{parts.hostname}/ answers without a redirect to HTTPS."
