"""The shortcut of symbolication beside Django: the same bytes and counts, no answer to anything unusual."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_django
from django.core.handlers.wsgi import WSGIHandler

from tecken import services
from tecken.front.application import TURNS, Front
from tecken.front.bridge import Response
from tecken.front.config import DEADLINES, FrontConfig, server_config
from tecken.front.shortcuts.symbolication import MAX_BODY_BYTES, MAX_FRAMES, SymbolicationShortcut
from tecken.http import responses
from tecken.limits import services as limits_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Change, Maintenance, format_maintenance
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api import views
from tecken.symbolication.invalidation import InvalidationSubscriber
from tecken.symbols import engine
from tecken.symbols.pagefile.file import Header
from tests.front.server import serving
from tests.front.shortcuts.both_ways import REQUEST_ID, Scope, counts, django, values_of
from tests.front.shortcuts.both_ways import scope_of as scope_of_any
from tests.support.options import Override
from tests.symbolication.memory import CPP, RUST, SAMPLES, C

# Django closes old connections at the start of a request.
pytestmark = pytest.mark.django_db

MODULES = [list(module[:2]) for module in (C, CPP, RUST)]
JOB = {"memoryMap": MODULES, "stacks": [[[index, 0x1000 + 16 * n] for n in range(40) for index in (0, 1, 2)]]}
SHORT = {"memoryMap": MODULES[:1], "stacks": [[[0, 0x1000], [-1, 5]], []]}


@pytest.fixture(autouse=True)
def _warm(
    tmp_path: Path,
    settings: pytest_django.Settings,
    runtime_options: Override,
    clear_redis_store: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Symbols of three modules, and in this process the frames of both jobs."""
    # Its first message would make the headers untrusted at some moment of a test.
    monkeypatch.setattr(InvalidationSubscriber, "start", lambda _self: None)
    # A busy machine may take longer than the usual time.
    monkeypatch.setattr("tecken.front.shortcuts.symbolication.SEARCH_SECONDS", 60.0)
    settings.STORAGE_URL = f"file://{tmp_path}"
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    runtime_options(symbolicate_deadline_seconds=0)
    services.discard_all()
    for module in (C, CPP, RUST):
        assert isinstance(symbolication_services.converter().convert(module), Header)
    for version in ("v4", "v5"):
        for job in (JOB, SHORT):
            django(scope_of(f"/symbolicate/{version}"), encode(job))
    yield
    services.discard_all()


def encode(job: object) -> bytes:
    return orjson.dumps({**job, "version": 4} if isinstance(job, dict) else job)


def scope_of(path: str = "/symbolicate/v5", method: str = "POST", **headers: str) -> Scope:
    return scope_of_any(path, method, **headers)


def shortcut(scope: Scope, body: bytes) -> Response | None:
    return asyncio.run(SymbolicationShortcut()(scope, body))


def assert_same(scope: Scope, body: bytes) -> Response:
    """Return the response, which both ways give byte by byte."""
    expected, response = django(scope, body), shortcut(scope, body)
    assert response is not None
    assert (response.status, response.headers) == (expected.status, expected.headers)
    assert response.whole == expected.whole
    return response


USUAL: list[dict[str, str]] = [
    {},
    {"accept_encoding": "gzip"},
    {"accept_encoding": "gzip, zstd"},
    {"accept_encoding": "br"},
    {"accept_encoding": "identity"},
    {"accept_encoding": "gzip;q=0"},
    {"accept": "text/html", "content_type": "application/json", "origin": "https://profiler.firefox.com"},
    {"x_forwarded_for": "10.1.2.3", "x_forwarded_proto": "https"},
    {"x_request_id": "not a plain id!" * 10, "accept_encoding": "gzip"},
    {"referer": "https://example.org/", "x_unknown": "\xe9"},
    {"if_none_match": "*", "range": "bytes=0-1", "cache_control": "no-cache"},
]


@pytest.mark.parametrize("headers", USUAL)
@pytest.mark.parametrize("path", ["/symbolicate/v5", "/symbolicate/v4"])
@pytest.mark.parametrize("job", [JOB, SHORT], ids=["long", "short"])
def test_shortcut_warm_request_has_the_response_of_django(
    headers: dict[str, str], path: str, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.monitoring.logs.urandom", lambda size: b"\xab" * size)
    assert_same(scope_of(path, **headers), encode(job))


def test_shortcut_several_jobs_have_the_response_of_django() -> None:
    response = assert_same(scope_of(), orjson.dumps({"jobs": [JOB, SHORT, JOB]}))
    assert len(orjson.loads(response.whole[0])["results"]) == 3


def test_shortcut_chooses_an_id_for_a_request_without_one() -> None:
    response = shortcut(scope_of(x_request_id=""), encode(JOB))
    assert response is not None
    assert re.fullmatch("[0-9a-f]{16}", values_of(response)["X-Request-Id"])


def test_shortcut_large_response_is_compressed_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def encode_and_note(content: bytes, coding: responses.Coding) -> bytes:
        threads.append(threading.current_thread().name)
        return encoded(content, coding)

    encoded = responses.encode
    monkeypatch.setattr(responses, "encode", encode_and_note)
    for minimum in (1 << 20, 1):
        monkeypatch.setattr("tecken.front.shortcuts.symbolication.MIN_THREAD_BYTES", minimum)
        assert shortcut(scope_of(accept_encoding="gzip"), encode(JOB)) is not None
    assert [name.startswith("front-compress") for name in threads] == [False, True]


def test_shortcut_compressed_response_is_that_of_the_plain_one() -> None:
    plain = assert_same(scope_of(), encode(JOB))
    packed = assert_same(scope_of(accept_encoding="gzip"), encode(JOB))
    assert gzip.decompress(packed.whole[0]) == plain.whole[0]


UNUSUAL: list[Scope] = [
    *(scope_of(method=method) for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")),
    *(
        scope_of(path)
        for path in ("/symbolicate/v5?try", "/symbolicate/v5/", "/symbolicate/v6", "/", "/upload/")
    ),
    scope_of(auth_token="x" * 32),
    scope_of(debug="true"),
    scope_of(x_config_override="symbolicate_max_jobs=2"),
    scope_of(content_encoding="gzip"),
    scope_of(cookie="sessionid=abc"),
    scope_of() | {"headers": scope_of()["headers"] + [(b"accept-encoding", b"gzip")] * 2},
]


@pytest.mark.parametrize("scope", UNUSUAL, ids=lambda scope: f"{scope['method']} {scope['path']}")
def test_shortcut_unusual_request_is_left_to_django(scope: Scope) -> None:
    assert shortcut(scope, encode(JOB)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        encode({"memoryMap": MODULES, "stacks": "x"}),
        encode({"memoryMap": MODULES, "stacks": [[[9, 1]]]}),
        encode({"memoryMap": [["unknown.so", "AB" * 16 + "0"]], "stacks": [[[0, 1]]]}),
        encode({"memoryMap": MODULES[:1], "stacks": [[[0, 0x1000]] * (MAX_FRAMES + 1)]}),
        encode(JOB) + b" " * MAX_BODY_BYTES,
    ],
    ids=["empty", "cut", "list", "stacks", "index", "unknown module", "frames", "bytes"],
)
def test_shortcut_other_body_is_left_to_django(body: bytes) -> None:
    assert shortcut(scope_of(), body) is None


NEEDS_ENGINE = pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built: make engine")
NEW = encode({"memoryMap": MODULES, "stacks": [[[0, 0x1001], [0, 2**40], [0, 0x1000], [1, 0x1003]]]})


@NEEDS_ENGINE
@pytest.mark.parametrize("path", ["/symbolicate/v5", "/symbolicate/v4"])
def test_shortcut_new_frames_of_cached_pages_have_the_response_of_django(path: str) -> None:
    response, rendered = shortcut(scope_of(path), NEW), views.frames().size
    assert response is not None
    views.frames().resize(0)
    views.frames().resize(1 << 20)
    assert response.whole == django(scope_of(path), NEW).whole
    assert rendered > 0


def test_shortcut_new_frames_are_left_to_django_without_their_pages() -> None:
    symbolication_services.page_cache().resize(0)
    assert shortcut(scope_of(), NEW) is None


@NEEDS_ENGINE
def test_shortcut_search_that_takes_too_long_is_left_to_django(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tecken.front.shortcuts.symbolication.SEARCH_SECONDS", -1.0)
    assert shortcut(scope_of(), NEW) is None
    assert_same(scope_of(), encode(JOB))


@pytest.mark.parametrize(
    "values",
    [
        {"limit_symbolicate": ("600 requests/minute per address",)},
        {"log_requests": True},
        {"full_tracing": True},
        {"symbolicate_max_body_bytes": 1024},
        {"symbolicate_max_frames": 10},
        {"symbolicate_max_answer_bytes": 2048},
    ],
    ids=lambda values: next(iter(values)),
)
def test_shortcut_with_option_is_left_to_django(values: dict[str, Any], runtime_options: Override) -> None:
    runtime_options(**values)
    assert shortcut(scope_of(), encode(JOB)) is None


def test_shortcut_under_maintenance_is_left_to_django() -> None:
    backend = current.backend()
    backend.set_maintenance("full", format_maintenance(Maintenance()), None)
    try:
        assert shortcut(scope_of(), encode(JOB)) is None
    finally:
        backend.set_maintenance("full", None, None)
    backend.set_maintenance("uploads", format_maintenance(Maintenance()), None)
    try:
        assert_same(scope_of(), encode(JOB))
    finally:
        backend.set_maintenance("uploads", None, None)


def test_shortcut_follows_the_rollout_of_its_request() -> None:
    backend = current.backend()
    before = backend.head().version

    def write(version: int, **texts: str) -> None:
        backend.write(Change(version, f"stamp {version}", "ada", "", "", "cli"), texts, version - 1)

    write(before + 1, log_requests="30%")
    try:
        found = {shortcut(scope_of(x_request_id=f"id-{number}"), encode(JOB)) is None for number in range(50)}
        assert found == {True, False}
    finally:
        write(before + 2)
    response = assert_same(scope_of(), encode(JOB))
    assert values_of(response)["X-Config-Version"] == str(before + 2)


def test_shortcut_with_an_expired_header_is_left_to_django(runtime_options: Override) -> None:
    runtime_options(process_header_seconds=0)
    assert shortcut(scope_of(), encode(JOB)) is None


def test_shortcut_behind_https_has_the_headers_of_django(settings: pytest_django.Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 3600
    response = assert_same(scope_of(x_forwarded_proto="https"), encode(JOB))
    assert "Strict-Transport-Security" in values_of(response)
    for scope in (scope_of(), scope_of(x_forwarded_proto="http"), scope_of(x_forwarded_proto="https, http")):
        assert shortcut(scope, encode(JOB)) is None


@pytest.mark.parametrize("path", ["/symbolicate/v5", "/symbolicate/v4"])
def test_shortcut_counts_what_django_counts(path: str) -> None:
    def count(answer: Callable[[Scope, bytes], object]) -> tuple[dict[str, float], dict[Any, int]]:
        before, usage = counts(), limits_services.usage()
        # No flush: the thread that sends the counts each second would take them away.
        with usage._flush_lock:
            usage._counts.clear()
            answer(scope_of(path), encode(JOB))
            after, added = counts(), dict(usage._counts)
        changed = {name: value - before.get(name, 0) for name, value in after.items()}
        return {name: value for name, value in changed.items() if value}, added

    metrics, usage = count(shortcut)
    assert (metrics, usage) == count(django)
    assert usage
    assert any("requests" in name for name in metrics)


def test_shortcut_too_large_answer_is_counted_once(runtime_options: Override) -> None:
    runtime_options(symbolicate_max_answer_bytes=2048)
    before = counts()
    assert shortcut(scope_of(), encode(JOB)) is None
    assert counts() == before


def test_front_sends_the_same_bytes_with_and_without_the_shortcut() -> None:
    body = encode(JOB)
    lines = ["POST /symbolicate/v5 HTTP/1.1", "Host: localhost", f"X-Request-Id: {REQUEST_ID}"]
    lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
    request = "\r\n".join(lines).encode() + body
    used: list[Response | None] = []

    async def noted(scope: Any, content: bytes) -> Response | None:
        used.append(await SymbolicationShortcut()(scope, content))
        return used[-1]

    received = []
    for front in (Front(WSGIHandler(), 2), Front(WSGIHandler(), 2, DEADLINES, noted)):
        with serving(front) as server:
            received.append(re.sub(rb"date: [^\r]*\r\n", b"", server.exchange(request)))
    assert received[0] == received[1]
    assert received[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert [response is not None for response in used] == [True]


@pytest.mark.parametrize(("endpoint", "has_shortcut"), [("", True), ("http://localhost:4318", False)])
def test_site_has_the_shortcut_unless_it_is_traced(
    endpoint: str, has_shortcut: bool, settings: pytest_django.Settings
) -> None:
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint
    config: FrontConfig = server_config(WSGIHandler())
    config.load()
    assert isinstance(config.loaded_app, Front)
    assert (config.loaded_app._shortcut is not None) == has_shortcut
    assert (config.loaded_app.take is not None) == has_shortcut


def test_front_answers_few_requests_in_one_pass_of_the_loop() -> None:
    passes: list[int] = []
    front = Front(WSGIHandler(), 2)

    async def answer(number: int) -> None:
        await front._wait_for_turn()
        passes.append(number)

    async def run() -> list[int]:
        tasks = [asyncio.ensure_future(answer(number)) for number in range(2 * TURNS + 1)]
        counts = []
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            counts.append(len(passes))
        return counts

    counts = asyncio.run(run())
    assert max(after - before for before, after in pairwise([0, *counts])) <= TURNS
    assert passes == list(range(2 * TURNS + 1))
