"""HTTP for upstreams: deadlines, retries, throttling, redirects.

httpx takes 0.16 s of CPU time for a plain file of 161 MB, and 0.19 s with the small reads of httpcore. A
worker reads ahead of its conversion, so h11 is no bottleneck, as long as chunks are left as they come off the
socket (`iter_raw` with no size).

httpx's own timeouts start again with each byte that arrives. `DeadlineBackend` has one for a whole exchange.

An upstream must not choose what we read in our own network. So a redirect from a host of the public internet
leads to such a host only. The address of each connection counts, and the connection uses the address that was
checked: a name that has another address a moment later (DNS rebinding) gains nothing. A host of our own
network that an operator has named may redirect to any host. A proxy resolves names itself, so addresses in
URLs are all that can be checked then.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
import stamina

from tecken import __version__
from tecken.errors import (
    AccessDenied,
    NotFound,
    TeckenError,
    Throttled,
    TooLarge,
    Unavailable,
    without_account,
)
from tecken.redisclient.guard import CircuitBreaker
from tecken.storage.port import TOO_MANY_REQUESTS, FetchLimits, is_refusal
from tecken.storage.upstreams.addresses import is_private_literal, is_public, resolve

# Bytes that are read from a socket at once; httpcore's own number is 64 KiB.
READ_BYTES = 256 * 1024


class PrivateAddress(Exception):
    """Connection to a host that is not one of the public internet, where only those are allowed."""


class _Rules(threading.local):
    at = math.inf
    public_only = False

    def left(self, timeout: float | None) -> float | None:
        if self.at == math.inf:
            return timeout
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, rules: _Rules) -> None:
        self._stream = stream
        self._rules = rules

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max(max_bytes, READ_BYTES), self._rules.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._rules.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, self._rules.left(timeout)), self._rules
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.NetworkBackend):
    """Network backend of httpcore whose operations end at the deadline of the calling thread.

    `connect_tcp` also raises PrivateAddress.
    """

    def __init__(self, sockets: httpcore.NetworkBackend | None = None) -> None:
        self._sockets = sockets or httpcore.SyncBackend()
        self._rules = _Rules()

    @contextmanager
    def until(self, at: float, *, public_only: bool = False) -> Iterator[None]:
        """Set the deadline of this thread for a block, in the seconds of `time.monotonic()`.

        With `public_only`, new connections lead to hosts of the public internet only.
        """
        rules = self._rules
        before = rules.at, rules.public_only
        rules.at, rules.public_only = at, public_only
        try:
            yield
        finally:
            rules.at, rules.public_only = before

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host before the deadline."""
        addresses = _public_addresses(host, port) if self._rules.public_only else [host]
        for place, address in enumerate(addresses, 1):
            left = self._rules.left(timeout)
            try:
                stream = self._sockets.connect_tcp(address, port, left, local_address, socket_options)
                return _Stream(stream, self._rules)
            except httpcore.ConnectError:
                if place == len(addresses):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def transport(self, limits: httpx.Limits, proxy: str | None) -> httpx.HTTPTransport:
        """Return a transport that uses this backend."""
        transport = httpx.HTTPTransport(verify=_tls_context(), limits=limits, proxy=proxy)
        # httpcore accepts a network backend, but httpx has no parameter for it.
        transport._pool._network_backend = self
        return transport


def _public_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host. Raises PrivateAddress unless all are public."""
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    if not all(map(is_public, addresses)):
        raise PrivateAddress(host)
    return addresses


@cache
def _tls_context() -> ssl.SSLContext:
    """Return the one context of all upstreams: reading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()


# Transport

USER_AGENT = f"tecken/{__version__}"
# Entry of this program in the header Via.
VIA = "1.1 tecken"
MOST_REDIRECTS = 5
ATTEMPTS = 3
# Seconds. A longer Retry-After is left to the caller.
LONGEST_SLEEP = 5.0
# Seconds without requests after a 429 without Retry-After.
PAUSE = 60.0
LONGEST_PAUSE = 3600.0
# Failures in a row that open the circuit breaker, and the seconds for which it stays open.
FAILURES = 5
REST = 30.0
# Characters of a reason phrase that errors repeat.
LONGEST_PHRASE = 80
# Bytes. Reading the text of a 404 up to this size is cheaper than a new connection.
SMALL_BODY = 64 << 10
DECODABLE = ("", "identity", "gzip", "x-gzip", "zstd")
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30.0)


class UpstreamFailed(Unavailable):
    """Failure to get a usable response; it counts towards the upstream's circuit breaker."""


class UpstreamFlaky(UpstreamFailed):
    """Failure that the next attempt may not have."""


class HttpTransport:
    """Requests to one upstream, with its circuit breaker and its pause after a 429.

    `limits` is called once for each `get` and holds until the end of the body; `max_bytes` counts bytes on
    the wire. `sockets` replaces the network. Raises ValueError, without credentials in its text, for a URL
    that is not http or https.
    """

    def __init__(
        self,
        base_url: str,
        limits: Callable[[], FetchLimits] = FetchLimits,
        *,
        rest: float = REST,
        clock: Callable[[], float] = time.monotonic,
        sockets: httpcore.NetworkBackend | None = None,
    ) -> None:
        url = _base_url(base_url)
        self._auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
        self.name = f"{str(url.copy_with(username=None, password=None)).rstrip('/')}/"
        self._limits = limits
        self._clock = clock
        self._quiet_until = 0.0
        self._backend = DeadlineBackend(sockets)
        proxy = _proxy(url)
        self._is_proxied = proxy is not None
        self._client = httpx.Client(
            transport=self._backend.transport(LIMITS, proxy),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, zstd"},
        )
        self._breaker = CircuitBreaker(self.name, FAILURES, rest, clock)

    def new_deadline(self) -> float:
        """Return when fetches that begin now must have ended, as `FileTransport.new_deadline` does."""
        return time.monotonic() + self._limits().deadline

    @contextmanager
    def get(self, path: str, ends: float = math.inf) -> Iterator[Iterator[bytes]]:
        """Fetch the file at `path` below the base URL, as `FileTransport.get` describes it."""
        limits = self._limits()
        ends = min(ends, time.monotonic() + limits.deadline)
        with self._guarded(), closing(self._fetch(path, limits, ends)) as response:
            self._refuse_oversize(int(response.headers.get("Content-Length", 0)), limits)
            yield self._body(response, limits, ends)

    def check(self, path: str, hops: int = 0, ends: float = math.inf) -> None:
        """Return if a file is there, as `FileTransport.check` does."""
        limits = self._limits()
        ends = min(ends, time.monotonic() + limits.deadline)
        # A GET, because not every server supports HEAD. The body is not read.
        with self._guarded():
            self._fetch(path, limits, ends, loop_headers(hops + 1)).close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Count the result of a request for the circuit breaker. Raises Throttled during a pause."""
        self._respect_pause()
        # The breaker covers the body too: a server that sends headers and then stalls is as broken as one
        # that does not respond.
        self._breaker.admit()
        try:
            yield
        except UpstreamFailed:
            self._breaker.record_failure()
            raise
        except NotFound:
            # An absent file is a sound response, which closes the breaker.
            self._breaker.record_answer()
            raise
        self._breaker.record_answer()

    def spellings(self, path: str) -> Sequence[str]:
        """Return the path: a server compares names without case, and maps them to tiers, itself."""
        return [path]

    def public_url(self, path: str) -> str | None:
        """Return a URL from which anyone can read the file; None where that needs credentials."""
        return None if self._auth else f"{self.name}{quote(path)}"

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def _respect_pause(self) -> None:
        left = self._quiet_until - self._clock()
        if left > 0:
            raise Throttled(f"{self.name}: not asked, it told us to slow down", retry_after=left)

    def _fetch(
        self, path: str, limits: FetchLimits, ends: float, headers: Mapping[str, str] = MappingProxyType({})
    ) -> httpx.Response:
        try:
            # stamina warns of a time of 0.
            retry = _retry(max(0.001, ends - time.monotonic()))
            return retry(self._attempt, f"{self.name}{quote(path)}", limits.timeout, ends, headers)
        except Throttled as error:
            self._quiet_until = self._clock() + (PAUSE if error.retry_after is None else error.retry_after)
            raise

    def _attempt(self, url: str, timeout: float, ends: float, headers: Mapping[str, str]) -> httpx.Response:
        waits = httpx.Timeout(timeout, connect=min(5.0, timeout))
        request = self._client.build_request("GET", url, headers=headers, timeout=waits)
        auth = self._auth
        public_only = False
        for _ in range(MOST_REDIRECTS + 1):
            response = self._send(request, auth, ends, public_only=public_only)
            following = response.next_request
            if following is None:
                return response
            public_only = public_only or not self._is_private(response)
            response.close()
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise AccessDenied(f"{self.name}: refused: redirected from https to {following.url.scheme}")
            # httpx removes the credentials from a request to another host; they must not be added again.
            request, auth = following, None
        raise AccessDenied(f"{self.name}: refused: more than {MOST_REDIRECTS} redirects")

    def _is_private(self, response: httpx.Response) -> bool:
        """Return whether a response is from a host of our own network."""
        if self._is_proxied:
            return is_private_literal(response.request.url.host)
        stream = response.extensions.get("network_stream")
        try:
            address = stream and stream.get_extra_info("server_addr")
        except OSError:
            # The other side has closed the connection already.
            return False
        return address is not None and not is_public(address[0])

    def _send(
        self, request: httpx.Request, auth: httpx.Auth | None, ends: float, *, public_only: bool
    ) -> httpx.Response:
        if public_only and is_private_literal(request.url.host):
            raise self._private(request)
        with self._errors(), self._backend.until(ends, public_only=public_only and not self._is_proxied):
            try:
                response = self._client.send(request, auth=auth, stream=True)
            except PrivateAddress:
                raise self._private(request) from None
            try:
                # A connection from the pool may have been made without the rule.
                if public_only and self._is_private(response):
                    raise self._private(request)
                self._check(response)
            except TeckenError:
                _finish(response)
                raise
            return response

    def _private(self, request: httpx.Request) -> AccessDenied:
        where = f"{request.url.host}, which is no host of the public internet"
        return AccessDenied(f"{self.name}: refused: redirected to {where}")

    def _check(self, response: httpx.Response) -> None:
        """Raise unless the response has the file or leads to it."""
        # A status about the file comes from a host that is up and must not count towards the breaker: a few
        # odd names would otherwise disable the upstream for all clients.
        status = response.status_code
        phrase = f"{status} {response.reason_phrase[:LONGEST_PHRASE]}".rstrip()
        if status in (404, 410):
            raise NotFound(f"{self.name}: {phrase}")
        if status == TOO_MANY_REQUESTS or (status == 503 and "Retry-After" in response.headers):
            wait = retry_after(response.headers.get("Retry-After"))
            raise Throttled(f"{self.name}: {phrase}", retry_after=wait)
        if status >= 500 or (status >= 400 and not is_refusal(status)):
            raise UpstreamFlaky(f"{self.name}: {phrase}")
        if status != 200 and response.next_request is None:
            raise AccessDenied(f"{self.name}: refused: {phrase}")
        encoding = response.headers.get("Content-Encoding", "").lower()
        if encoding not in DECODABLE:
            raise AccessDenied(f"{self.name}: refused: it is encoded as {encoding[:LONGEST_PHRASE]}")

    def _body(self, response: httpx.Response, limits: FetchLimits, ends: float) -> Iterator[bytes]:
        # Undecoded and of any size: re-chunking would copy every byte once more.
        chunks = response.iter_raw()
        size = 0
        while True:
            with self._errors(), self._backend.until(ends):
                chunk = next(chunks, None)
            if chunk is None:
                return
            # Counted while it arrives, because a response need not have a Content-Length.
            size += len(chunk)
            self._refuse_oversize(size, limits)
            yield chunk

    def _refuse_oversize(self, size: int, limits: FetchLimits) -> None:
        if size > limits.max_bytes:
            raise TooLarge(f"{self.name}: a symbol file of more than {limits.max_bytes} bytes")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise UpstreamFailed(f"{self.name}: no answer in time") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise AccessDenied(f"{self.name}: refused: redirected to a URL that cannot be fetched") from error
        except httpx.HTTPError as error:
            # httpx has no class of its own for a response whose redirect it cannot read.
            if str(error).startswith("Invalid URL in location header"):
                raise AccessDenied(
                    f"{self.name}: refused: redirected to a URL that cannot be read"
                ) from error
            raise UpstreamFlaky(f"{self.name}: {error}") from error


def _retry(seconds: float) -> stamina.BoundRetryingCaller:
    return stamina.RetryingCaller(
        attempts=ATTEMPTS, timeout=seconds, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2
    ).on(worth_another_try)


def worth_another_try(error: Exception) -> bool | float:
    """Return whether, or after how many seconds, stamina makes another attempt."""
    if isinstance(error, Throttled):
        if error.retry_after is None:
            return True
        return error.retry_after <= LONGEST_SLEEP and error.retry_after
    return isinstance(error, UpstreamFlaky)


def loop_headers(hops: int) -> dict[str, str]:
    """Return the headers by which servers notice a loop, for a request that so many servers have passed on.

    Sources: RFC 9110, 7.6.3; elfutils, debuginfod(8), which counts the entries of X-Forwarded-For.
    """
    return {"Via": ", ".join([VIA] * hops), "X-Forwarded-For": ", ".join(["unknown"] * hops)}


def count_hops(headers: Mapping[str, str]) -> int:
    """Return how many servers have passed a request on; some proxies replace one of the headers."""
    via = headers.get("Via", "").count(VIA)
    return max(via, headers.get("X-Forwarded-For", "").count(","))


def retry_after(header: str | None) -> float | None:
    """Return the seconds, an hour at most, of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), LONGEST_PAUSE)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    left = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(left, 0.0), LONGEST_PAUSE)


def _base_url(text: str) -> httpx.URL:
    expected = f"{without_account(text)}: expected http(s)://host/prefix/ without a query"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError(expected) from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ValueError(expected)
    return url


def _finish(response: httpx.Response) -> None:
    """Close a response; leave its connection usable when that is cheap."""
    try:
        if int(response.headers.get("Content-Length", SMALL_BODY + 1)) <= SMALL_BODY:
            for _ in response.iter_raw():
                pass
    except httpx.HTTPError:
        pass
    finally:
        response.close()


def _proxy(url: httpx.URL) -> str | None:
    return None if proxy_bypass(url.host) else getproxies().get(url.scheme)
