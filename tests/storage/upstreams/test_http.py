"""HTTP upstreams: responses, failures, limits and retries."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Protocol

import pytest
import stamina

from tecken import __version__
from tecken.errors import AccessDenied, NotFound, Throttled, TooLarge, Unavailable
from tecken.storage.port import FetchLimits
from tecken.storage.upstreams.http import (
    ATTEMPTS,
    FAILURES,
    LONGEST_PAUSE,
    PAUSE,
    USER_AGENT,
    HttpTransport,
    retry_after,
    worth_another_try,
)
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.symbols.ids import ObjectId
from tests.support.http_upstream import HttpUpstream, Reply

pytest_plugins = ["tests.support.upstreams"]

MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
PATH = f"/{MODULE}/xul.sym"
BODY = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\n"
LONG_BODY = BODY * 20_000
FOR_EVER = 3600.0
DEFAULT = FetchLimits()


class Make(Protocol):
    def __call__(
        self, url: str = "", limits: FetchLimits = DEFAULT, **settings: float | Callable[[], float]
    ) -> SymbolFileUpstream: ...


@pytest.fixture
def make(upstream: HttpUpstream) -> Iterator[Make]:
    with ExitStack() as made:

        def make(
            url: str = "", limits: FetchLimits = DEFAULT, **settings: float | Callable[[], float]
        ) -> SymbolFileUpstream:
            transport = HttpTransport(url or upstream.url, lambda: limits, **settings)  # type: ignore[arg-type]
            made.callback(transport.close)
            return SymbolFileUpstream(transport)

        yield make


@pytest.fixture(autouse=True)
def _no_waiting_between_attempts() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield


def whole(source: SymbolFileUpstream) -> bytes:
    with source.open(MODULE) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("status", [404, 410])
def test_open_status_404_or_410_is_absent(upstream: HttpUpstream, make: Make, status: int) -> None:
    upstream.script[PATH] = Reply(status)
    with pytest.raises(NotFound, match=str(status)):
        whole(make())


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 402, 403, 405, 409, 414, 416, 418, 451, 499])
def test_open_other_client_error_is_refused_with_the_status(
    upstream: HttpUpstream, make: Make, status: int
) -> None:
    upstream.script[PATH] = Reply(status)
    with pytest.raises(AccessDenied, match=f"{upstream.url}: refused: {status}"):
        whole(make())


def test_open_after_refusals_breaker_stays_closed(upstream: HttpUpstream, make: Make) -> None:
    source = make(rest=FOR_EVER)
    statuses = (204, 400, 401, 403, 404, 410, 414)
    for status in statuses * FAILURES:
        upstream.script[PATH] = Reply(status)
        with pytest.raises(NotFound):
            whole(source)
    upstream.script[PATH] = Reply(body=BODY)
    assert whole(source) == BODY


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504])
def test_open_temporary_status_is_could_not_ask(upstream: HttpUpstream, make: Make, status: int) -> None:
    upstream.script[PATH] = Reply(status)
    with pytest.raises(Unavailable, match=f"{upstream.url}: {status}"):
        whole(make())


def test_open_server_error_is_retried(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = [Reply(500), Reply(503), Reply(body=BODY)]
    assert whole(make()) == BODY


@pytest.mark.parametrize("status", [403, 404])
def test_open_refusal_is_not_retried(upstream: HttpUpstream, make: Make, status: int) -> None:
    upstream.script[PATH] = [Reply(status), Reply(body=BODY)]
    with pytest.raises(NotFound):
        whole(make())
    assert len(upstream.requests) == 1


def test_open_lost_connection_is_retried(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = [Reply(hang_up=True), Reply(hang_up=True), Reply(body=BODY)]
    assert whole(make()) == BODY


def test_open_unreachable_address_is_could_not_ask(make: Make) -> None:
    with pytest.raises(Unavailable, match="refused"):
        whole(make("http://127.0.0.1:1/"))


def test_open_unresponsive_upstream_is_could_not_ask(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(mute=True)
    with pytest.raises(Unavailable, match="in time"):
        whole(make(limits=FetchLimits(timeout=0.05)))
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("drip", [0.1, 0.001], ids=["in the head", "in the body"])
def test_open_slow_response_ends_at_the_deadline(upstream: HttpUpstream, make: Make, drip: float) -> None:
    upstream.script[PATH] = Reply(body=b"x" * 1_000_000, drip=drip)
    with pytest.raises(Unavailable, match="in time"):
        whole(make(limits=FetchLimits(FOR_EVER, deadline=0.3)))


def test_open_cut_body_is_could_not_ask(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(body=LONG_BODY, cut=len(LONG_BODY) - 1)
    taken: list[bytes] = []
    with pytest.raises(Unavailable), make().open(MODULE) as chunks:
        taken.extend(chunks)
    assert LONG_BODY.startswith(b"".join(taken))
    assert len(upstream.requests) == 1


def test_open_announced_size_over_the_limit_is_refused(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(body=b"x" * 1001)
    with pytest.raises(TooLarge, match="1000"), make(limits=FetchLimits(max_bytes=1000)).open(MODULE):
        pytest.fail("opened")


def test_open_unannounced_size_stops_at_the_limit(upstream: HttpUpstream, make: Make) -> None:
    chunked = b"%x\r\n%s\r\n" % (len(LONG_BODY), LONG_BODY) + b"0\r\n\r\n"
    upstream.script[PATH] = Reply(body=chunked, headers={"Transfer-Encoding": "chunked"}, length=False)
    taken: list[bytes] = []
    with pytest.raises(TooLarge), make(limits=FetchLimits(max_bytes=500_000)).open(MODULE) as chunks:
        taken.extend(chunks)
    assert sum(map(len, taken)) <= 500_000


@pytest.mark.parametrize(("max_bytes", "is_accepted"), [(len(BODY), True), (len(BODY) - 1, False)])
def test_open_unannounced_size_counts_each_byte(
    upstream: HttpUpstream, make: Make, max_bytes: int, is_accepted: bool
) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    upstream.script[PATH] = Reply(body=chunked, headers={"Transfer-Encoding": "chunked"}, length=False)
    source = make(limits=FetchLimits(max_bytes=max_bytes))
    if is_accepted:
        assert whole(source) == BODY
    else:
        with pytest.raises(TooLarge, match=f"more than {max_bytes} bytes"):
            whole(source)


def test_open_compressed_body_is_returned_unchanged(upstream: HttpUpstream, make: Make) -> None:
    text = b"MODULE windows x86_64 %s xul.pdb\n" % MODULE.debug_id.encode()
    packed = gzip.compress(text)
    upstream.script[PATH] = Reply(body=packed, headers={"Content-Encoding": "gzip"})
    assert whole(make()) == packed
    sent = upstream.requests[0].headers
    assert (sent["Accept-Encoding"], sent["User-Agent"]) == ("gzip, zstd", USER_AGENT)


def test_open_unknown_encoding_is_refused(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(body=b"?", headers={"Content-Encoding": "br"})
    with pytest.raises(AccessDenied, match="encoded as br"):
        whole(make())


def test_open_long_encoding_is_shortened_in_the_error(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(body=b"?", headers={"Content-Encoding": "x" * 100})
    with pytest.raises(AccessDenied, match=f"encoded as {'x' * 80}$"):
        whole(make())


def test_open_redirects_are_followed(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(302, headers={"Location": "/1"})
    for n in range(1, 5):
        upstream.script[f"/{n}"] = Reply(307, headers={"Location": f"/{n + 1}"})
    upstream.script["/5"] = Reply(body=BODY)
    assert whole(make()) == BODY


@pytest.mark.parametrize("location", [PATH, "http://127.0.0.1:port/", "ftp://127.0.0.1/", ""])
def test_open_invalid_redirect_is_refused(upstream: HttpUpstream, make: Make, location: str) -> None:
    upstream.script[PATH] = Reply(302, headers={"Location": location})
    with pytest.raises(AccessDenied):
        whole(make())


def test_open_redirect_to_an_unreachable_host_is_could_not_ask(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(302, headers={"Location": "http://127.0.0.1:1/"})
    with pytest.raises(Unavailable):
        whole(make())


def test_open_redirect_to_another_host_sends_no_credentials(upstream: HttpUpstream, make: Make) -> None:
    with HttpUpstream().running() as other:
        upstream.script[PATH] = Reply(302, headers={"Location": f"{other.url}elsewhere"})
        other.script["/elsewhere"] = Reply(body=BODY)
        source = make(upstream.url.replace("//", "//us%20er:secret@"))
        assert whole(source) == BODY
        assert upstream.requests[0].headers["Authorization"] == "Basic dXMgZXI6c2VjcmV0"
        assert "Authorization" not in other.requests[0].headers
        assert source.name == upstream.url


@pytest.mark.parametrize("status", [429, 503])
def test_open_throttled_upstream_is_not_contacted_before_retry_after(
    upstream: HttpUpstream, make: Make, status: int
) -> None:
    now = [1000.0]
    upstream.script[PATH] = [Reply(status, headers={"Retry-After": "120"}), Reply(body=BODY)]
    source = make(clock=lambda: now[0])
    with pytest.raises(Throttled) as told:
        whole(source)
    assert told.value.retry_after == 120
    now[0] += 100
    with pytest.raises(Throttled, match="not asked") as still:
        whole(source)
    assert still.value.retry_after == 20
    assert len(upstream.requests) == 1
    now[0] += 20
    assert whole(source) == BODY


def test_open_throttled_without_retry_after_pauses(upstream: HttpUpstream, make: Make) -> None:
    now = [1000.0]
    upstream.script[PATH] = Reply(429)
    source = make(clock=lambda: now[0])
    with pytest.raises(Throttled):
        whole(source)
    assert len(upstream.requests) == ATTEMPTS
    with pytest.raises(Throttled) as still:
        whole(source)
    assert still.value.retry_after == PAUSE


def test_open_short_retry_after_is_retried(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = [Reply(429, headers={"Retry-After": "2"}), Reply(body=BODY)]
    assert whole(make()) == BODY
    assert worth_another_try(Throttled("", retry_after=2.0)) == 2.0
    assert worth_another_try(Throttled("", retry_after=60.0)) is False


def test_open_after_failures_opens_and_closes_the_breaker(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(500)
    source, patient = make(rest=FOR_EVER), make(rest=0)
    for opened in (source, patient):
        for _ in range(FAILURES):
            with pytest.raises(Unavailable, match="500"):
                whole(opened)
    upstream.script[PATH] = Reply(body=BODY)
    asked = len(upstream.requests)
    with pytest.raises(Unavailable, match="not asked") as left_alone:
        whole(source)
    assert left_alone.value.retry_after == pytest.approx(FOR_EVER, rel=1e-3)
    assert len(upstream.requests) == asked
    assert whole(patient) == BODY
    assert whole(patient) == BODY


def test_open_cut_bodies_open_the_breaker(upstream: HttpUpstream, make: Make) -> None:
    upstream.script[PATH] = Reply(body=BODY, cut=5)
    source = make(rest=FOR_EVER)
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            whole(source)
    with pytest.raises(Unavailable, match="not asked"):
        whole(source)


@pytest.mark.parametrize("error", [NotFound("not there"), Unavailable("storage is full"), KeyError("mine")])
def test_open_error_of_the_consumer_leaves_the_breaker_closed(
    upstream: HttpUpstream, make: Make, error: Exception
) -> None:
    upstream.script[PATH] = Reply(body=BODY)
    source = make(rest=FOR_EVER)
    for _ in range(FAILURES + 1):
        with pytest.raises(type(error)) as raised, source.open(MODULE):
            raise error
        assert raised.value is error
    assert whole(source) == BODY


def test_open_absent_files_reuses_the_connection(upstream: HttpUpstream, make: Make) -> None:
    source = make()
    for _ in range(3):
        with pytest.raises(NotFound):
            whole(source)
    assert len({request.port for request in upstream.requests}) == 1


def test_retry_after_of_seconds_or_a_date_is_parsed() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after(at) or 0) <= 100
    assert retry_after("7") == 7
    assert retry_after("9" * 400) == LONGEST_PAUSE
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert retry_after("Thu, 01 Jan 2970 00:00:00 -0000") == LONGEST_PAUSE
    assert retry_after("soon") is None
    assert retry_after(None) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://u:secret@",
        "https://u:sec/ret@host/",
        "https://u:secret@host/?q=secret",
        "http://u:secret@host:port/",
        "gopher://u:secret@host/",
    ],
)
def test_http_symbols_invalid_url_raises_without_credentials(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected http\(s\)") as told:
        HttpTransport(url)
    assert "secret" not in str(told.value)
    assert "sec/ret" not in str(told.value)


def test_user_agent_has_the_version() -> None:
    assert f"tecken/{__version__}" == USER_AGENT
