"""Symbol files from an HTTP upstream, below its prefix (`layouts.symbol_file`).

httpx takes 0.06 s for a plain file of 180 MB, a twentieth of what converting it takes; urllib3 takes 0.02 s.
So h11 is no bottleneck, as long as chunks are left as they come off the socket (`iter_raw` with no size).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import httpx
import stamina

from tecken.errors import Absent, CouldNotAsk, Refused, TeckenError, Throttled, TooMuch
from tecken.redaction import without_account
from tecken.redisclient.breaker import CircuitBreaker
from tecken.storage.port import Patience
from tecken.storage.statuses import TOO_MANY_REQUESTS, is_refusal
from tecken.storage.upstreams.deadline import DeadlineBackend
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file

USER_AGENT = "tecken/0.1.0"
MOST_REDIRECTS = 5
ATTEMPTS = 3
LONGEST_SLEEP = 5.0  # seconds; a longer Retry-After is the caller's to wait for
PAUSE = 60.0  # seconds, for an upstream that asked us to slow down and did not say until when
LONGEST_PAUSE = 3600.0
FAILURES = 5  # in a row open the breaker
REST = 30.0  # seconds it stays open
LONGEST_PHRASE = 80  # characters of an upstream's own words that errors repeat
SMALL_BODY = 64 << 10  # bytes; reading the text of a 404 is cheaper than a new connection
DECODABLE = ("", "identity", "gzip", "x-gzip", "zstd")
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30.0)


class UpstreamFailed(CouldNotAsk):
    """No usable answer; counts towards the upstream's breaker."""


class UpstreamFlaky(UpstreamFailed):
    """No usable answer, but the next attempt may get one."""


class HttpSymbols:
    """`patience` is asked once for one whole `open` with its body; its bytes are counted on the wire.

    State of the breaker and of throttling is this object's own.
    Raises ValueError, without credentials in its text, for a URL that is not http or https.
    """

    def __init__(
        self,
        base_url: str,
        patience: Callable[[], Patience] = Patience,
        *,
        rest: float = REST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = _base_url(base_url)
        self._auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
        self._base = str(url.copy_with(username=None, password=None)).rstrip("/")
        self.name = f"{self._base}/"
        self._patience = patience
        self._clock = clock
        self._quiet_until = 0.0
        self._backend = DeadlineBackend()
        self._client = httpx.Client(
            transport=self._backend.transport(LIMITS, _proxy(url)),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, zstd"},
        )
        self._breaker = CircuitBreaker(self.name, FAILURES, rest, clock)

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        self._respect_pause()
        patience = self._patience()
        ends = time.monotonic() + patience.deadline
        self._breaker.admit()
        try:
            with closing(self._answer(module, patience, ends)) as response:
                self._refuse_oversize(int(response.headers.get("Content-Length", 0)), patience)
                yield self._body(response, patience, ends)
        except UpstreamFailed:
            self._breaker.failed()
            raise
        except Absent:
            self._breaker.answered()
            raise
        self._breaker.answered()

    def close(self) -> None:
        self._client.close()

    def _respect_pause(self) -> None:
        left = self._quiet_until - self._clock()
        if left > 0:
            raise Throttled(f"{self.name}: not asked, it told us to slow down", retry_after=left)

    def _answer(self, module: ObjectId, patience: Patience, ends: float) -> httpx.Response:
        path = str(symbol_file(module))
        try:
            return _retry(patience.deadline)(self._ask, f"{self._base}/{quote(path)}", patience.timeout, ends)
        except Throttled as error:
            self._quiet_until = self._clock() + (PAUSE if error.retry_after is None else error.retry_after)
            raise

    def _ask(self, url: str, timeout: float, ends: float) -> httpx.Response:
        waits = httpx.Timeout(timeout, connect=min(5.0, timeout))
        request, auth = self._client.build_request("GET", url, timeout=waits), self._auth
        for _ in range(MOST_REDIRECTS + 1):
            response = self._send(request, auth, ends)
            following = response.next_request
            if following is None:
                return response
            response.close()
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise Refused(f"{self.name}: refused: redirected from https to {following.url.scheme}")
            # httpx has taken the credentials off a request to another host; do not put them on again
            request, auth = following, None
        raise Refused(f"{self.name}: refused: more than {MOST_REDIRECTS} redirects")

    def _send(self, request: httpx.Request, auth: httpx.Auth | None, ends: float) -> httpx.Response:
        with self._errors(), self._backend.until(ends):
            response = self._client.send(request, auth=auth, stream=True)
            try:
                self._judge(response)
            except TeckenError:
                _finish(response)
                raise
            return response

    def _judge(self, response: httpx.Response) -> None:
        """Raise unless the response has the file or leads to it.

        A status that is about the file comes from a host that is up: it must not count towards the breaker,
        else some odd names would switch the upstream off for everybody.
        """
        status = response.status_code
        phrase = f"{status} {response.reason_phrase[:LONGEST_PHRASE]}".rstrip()
        if status in (404, 410):
            raise Absent(f"{self.name}: {phrase}")
        if status == TOO_MANY_REQUESTS or (status == 503 and "Retry-After" in response.headers):
            wait = retry_after(response.headers.get("Retry-After"))
            raise Throttled(f"{self.name}: {phrase}", retry_after=wait)
        if status >= 500 or (status >= 400 and not is_refusal(status)):
            raise UpstreamFlaky(f"{self.name}: {phrase}")
        if status != 200 and response.next_request is None:
            raise Refused(f"{self.name}: refused: {phrase}")
        encoding = response.headers.get("Content-Encoding", "").lower()
        if encoding not in DECODABLE:
            raise Refused(f"{self.name}: refused: it is encoded as {encoding[:LONGEST_PHRASE]}")

    def _body(self, response: httpx.Response, patience: Patience, ends: float) -> Iterator[bytes]:
        chunks = response.iter_raw()
        taken = 0
        while True:
            with self._errors(), self._backend.until(ends):
                chunk = next(chunks, None)
            if chunk is None:
                return
            taken += len(chunk)
            self._refuse_oversize(taken, patience)
            yield chunk

    def _refuse_oversize(self, size: int, patience: Patience) -> None:
        if size > patience.max_bytes:
            raise TooMuch(f"{self.name}: a symbol file of more than {patience.max_bytes} bytes")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise UpstreamFailed(f"{self.name}: no answer in time") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Refused(f"{self.name}: refused: redirected to a URL that cannot be fetched") from error
        except httpx.HTTPError as error:
            # httpx has no class of its own for a response whose redirect it cannot read.
            if str(error).startswith("Invalid URL in location header"):
                raise Refused(f"{self.name}: refused: redirected to a URL that cannot be read") from error
            raise UpstreamFlaky(f"{self.name}: {error}") from error


def _retry(seconds: float) -> stamina.BoundRetryingCaller:
    return stamina.RetryingCaller(
        attempts=ATTEMPTS, timeout=seconds, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2
    ).on(worth_another_try)


def worth_another_try(error: Exception) -> bool | float:
    """For stamina: whether, or after how many seconds."""
    if isinstance(error, Throttled):
        if error.retry_after is None:
            return True
        return error.retry_after <= LONGEST_SLEEP and error.retry_after
    return isinstance(error, UpstreamFlaky)


def retry_after(header: str | None) -> float | None:
    """Seconds, an hour at the most, from a Retry-After header: seconds or a date (RFC 9110, 10.2.3)."""
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
    """Leaves the connection usable when that is cheap."""
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
