"""The shortcut of downloads beside Django: the same bytes and counts, no answer to anything unusual."""

from __future__ import annotations

import asyncio
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_django
from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone

from tecken import services
from tecken.download.missing import MissWriter
from tecken.download.models import MissingSymbol
from tecken.front.application import Front
from tecken.front.bridge import Response
from tecken.front.config import DEADLINES
from tecken.front.shortcuts import downloads
from tecken.front.shortcuts.downloads import MAX_PATH_BYTES, DownloadShortcut, make_plan
from tecken.front.shortcuts.facts import MAX_AT_ONCE, FactReader, Facts
from tecken.front.shortcuts.middleware import LeftToDjango
from tecken.limits import services as limits_services
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Change, Maintenance, format_maintenance
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import COUNTS, MAX_COUNTED_AT_ONCE, MissBatch, MissCounts, Requester
from tecken.storage.port import parse_names
from tecken.storage.presence_cache import Unknown
from tecken.symbols.layouts import FileKey
from tecken.upload.retention import Retention
from tests.front.server import PATIENCE, serving
from tests.front.shortcuts.both_ways import REQUEST_ID, Scope, counts, django, scope_of, values_of
from tests.support.options import Override
from tests.upload.natives import (
    COMMON_BUILD_ID,
    DATA,
    FRAMES_BUILD_ID,
    FRAMES_ID,
    WINDOWS_ID,
    debian,
    send,
    send_bytes,
)
from tests.upload.uploaders import Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

DEBUG = (DATA / "frames.debug").read_bytes()
UNKNOWN = f"/buildid/{'ab' * 20}/debuginfo"
FILE = f"/buildid/{FRAMES_BUILD_ID}/debuginfo"
NAMED = f"/frames.so/{FRAMES_ID}/frames.so"
XUL = "xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2"
# docs/security.md
MAX_PLAN_BYTES = 32_000


@pytest.fixture(autouse=True)
def builder(native_builder: Uploader, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploader]:
    """On a site whose responses can be compared: their ids are the same."""
    monkeypatch.setattr("tecken.monitoring.logs.urandom", lambda size: b"\xab" * size)
    # A busy machine may take longer than the usual time.
    monkeypatch.setattr("tecken.storage.backends.files.RECALL_SECONDS", 600.0)
    storage_services.search()
    yield native_builder
    services.discard_all()


@pytest.fixture
def with_file(builder: Uploader) -> Uploader:
    """Has a debug file and its executable, which this process has sent already."""
    send(builder, debian(FRAMES_BUILD_ID), "frames.debug")
    send(builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    for path in (FILE, NAMED):
        django(scope_of(path))
    return builder


def ask(shortcut: DownloadShortcut, scopes: Sequence[Scope]) -> list[Response | None]:
    """Return the responses to requests at the same time."""

    async def run() -> list[Response | None]:
        sent = [asyncio.get_running_loop().create_future() for _ in scopes]
        for scope, future in zip(scopes, sent, strict=True):
            if not shortcut.take(scope, future.set_result):
                future.set_result(None)
        return list(await asyncio.gather(*sent))

    return asyncio.run(asyncio.wait_for(run(), PATIENCE))


def shortcut(scope: Scope) -> Response | None:
    return ask(DownloadShortcut(), [scope])[0]


def assert_same(scope: Scope) -> Response:
    """Return the response, which both ways give byte by byte."""
    expected, response = django(scope), shortcut(scope)
    assert response is not None
    assert (response.status, response.headers) == (expected.status, expected.headers)
    assert (response.whole, expected.pieces) == (expected.whole, None)
    return response


USUAL: list[dict[str, str]] = [
    {},
    {"accept_encoding": "gzip"},
    {"accept": "*/*", "origin": "https://profiler.firefox.com", "user_agent": "elfutils/0.192,Linux/x86_64"},
    {"x_forwarded_for": "10.1.2.3", "x_forwarded_proto": "https"},
    {"x_request_id": "not a plain id!" * 10, "cache_control": "no-cache"},
]
ABSENT = [
    UNKNOWN,
    UNKNOWN.upper().replace("BUILDID", "buildid").replace("DEBUGINFO", "executable"),
    UNKNOWN.replace("debuginfo", "section/.debug_line"),
    f"/try{UNKNOWN}",
    f"/try{UNKNOWN.replace('debuginfo', 'section/.text')}",
    f"/{XUL}/xul.sym",
    f"/try/{XUL}/xul.sym",
    f"/{XUL}/xul.sym?try&code_file=xul.dll&code_id=5AB38077A000",
    f"/{XUL}/xul.sym?code_file=%FF&code_id=;;",
    f"/{XUL}/xul.pdb",
    f"/{XUL}/xul.pd_",
    f"/{XUL}/xul.unknown",
    f"/{XUL}/file.ptr",
    f"/{XUL.lower()}/XUL.SYM",
    "/xul.dll/5AB38077A000/xul.sym",
    "/xul.pdb/000000000000000000000000000000000/xul.sym",
    f"/libxul.so/{'ab' * 20}/libxul.so.sym",
    f"/libxul.so/elf-buildid-{'ab' * 20}/libxul.so",
    f"/_.debug/elf-buildid-sym-{'ab' * 20}/_.debug",
    f"/{XUL}/msfz0/xul.pdb",
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ABSENT)
def test_known_absence_has_the_response_of_django(path: str, method: str) -> None:
    django(scope_of(path))
    assert assert_same(scope_of(path, method)).status == 404


@pytest.mark.parametrize("headers", USUAL)
@pytest.mark.parametrize("path", [UNKNOWN, FILE])
def test_usual_headers_have_the_response_of_django(
    path: str, headers: dict[str, str], with_file: Uploader
) -> None:
    django(scope_of(path))
    assert_same(scope_of(path, **headers))


@pytest.mark.parametrize("path", [FILE, FILE.replace("debuginfo", "executable"), f"/try{FILE}", NAMED])
def test_small_file_has_the_response_of_django(path: str, with_file: Uploader) -> None:
    response = assert_same(scope_of(path))
    assert response.status == 200
    assert len(response.whole[0]) == int(values_of(response)["Content-Length"])
    assert assert_same(scope_of(path, "HEAD")).whole == [b""]


def test_chooses_an_id_for_each_request_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    django(scope_of(UNKNOWN))
    responses = ask(DownloadShortcut(), [scope_of(UNKNOWN, x_request_id="") for _ in range(20)])
    ids = {values_of(response)["X-Request-Id"] for response in responses if response}
    assert len(ids) == 20
    assert all(re.fullmatch("[0-9a-f]{16}", some_id) for some_id in ids)


# What changes is seen at once


def test_what_is_not_known_is_left_to_django(builder: Uploader) -> None:
    paths = [UNKNOWN, FILE, NAMED, f"/{XUL}/xul.sym"]
    assert ask(DownloadShortcut(), [scope_of(path) for path in paths]) == [None] * 4


def test_first_request_of_a_process_is_left_to_django() -> None:
    django(scope_of(UNKNOWN))
    ways = DownloadShortcut()
    storage_services.search.cache_clear()
    assert ask(ways, [scope_of(UNKNOWN)]) == [None]
    storage_services.search()
    assert ask(ways, [scope_of(UNKNOWN)]) != [None]


def test_upload_makes_a_file_known_at_once(builder: Uploader) -> None:
    ways = DownloadShortcut()
    common = f"/buildid/{COMMON_BUILD_ID}/debuginfo"
    paths = [FILE, FILE.replace("debuginfo", "section/.debug_line"), NAMED, common]
    scopes = [scope_of(path) for path in paths]
    for scope in scopes:
        django(scope)
    assert [response and response.status for response in ask(ways, scopes)] == [404] * 4
    send(builder, debian(FRAMES_BUILD_ID), "frames.debug")
    send(builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    send(builder, debian(COMMON_BUILD_ID), "common.debug")
    assert ask(ways, scopes) == [None] * 4
    assert [django(scope).status for scope in scopes] == [200] * 4
    assert [response and response.status for response in ask(ways, scopes)] == [200, None, 200, 200]


def test_replaced_file_is_not_sent_any_more(with_file: Uploader) -> None:
    ways = DownloadShortcut()
    (before,) = ask(ways, [scope_of(FILE)])
    send_bytes(with_file, debian(FRAMES_BUILD_ID), DEBUG + b"of another build")
    assert ask(ways, [scope_of(FILE)]) == [None]
    expected = django(scope_of(FILE))
    (after,) = ask(ways, [scope_of(FILE)])
    assert before is not None
    assert after is not None
    assert (before.whole, after.whole) == ([DEBUG], expected.whole)
    assert after.headers == expected.headers


def test_removed_file_is_not_sent_any_more(
    with_file: Uploader, monkeypatch: pytest.MonkeyPatch, settings: pytest_django.Settings
) -> None:
    ways = DownloadShortcut()
    assert None not in ask(ways, [scope_of(FILE)])
    # Another process removes it: this one keeps what it has read.
    ours, others = storage_services.own_files(), storage_services.own_files_for(settings.STORAGE_URL)
    found = next(iter(ways._known.values())).found
    monkeypatch.setattr("tecken.upload.retention.select_storage", lambda _scope: others)
    assert Retention(timezone.now() + timedelta(days=900)).run().files == 2
    assert ours.recall(found.key, found.stored) == DEBUG
    assert ask(ways, [scope_of(FILE)]) == [None]
    assert django(scope_of(FILE)).status == 404


def test_file_that_was_not_read_lately_is_left_to_django(
    with_file: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.storage.backends.files.RECALL_SECONDS", 0.0)
    assert shortcut(scope_of(FILE)) is None


def test_storage_with_urls_is_left_to_django(with_file: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tecken.storage.backends.bucket.WITHOUT_URLS", ())
    assert shortcut(scope_of(FILE)) is None


def test_without_redis_cache_everything_is_left_to_django(
    with_file: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    django(scope_of(UNKNOWN))
    monkeypatch.setattr(storage_services.presence_cache(), "get", lambda names: [Unknown() for _ in names])
    assert ask(DownloadShortcut(), [scope_of(UNKNOWN), scope_of(FILE)]) == [None, None]


# Anything unusual is left to Django

UNUSUAL: list[Scope] = [
    *(scope_of(FILE, method=method) for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH")),
    *(
        scope_of(path)
        for path in (
            *(f"{FILE}?_refresh", f"{FILE}/", f"//{FILE}", FILE.replace("/b", "/%62"), "/", "/health"),
            *(FILE.replace("debuginfo", part) for part in ("section/.debug_line", "source/a.c", "x")),
            f"/buildid/{'ab' * 3}x/debuginfo",
            f"/frames.pdb/{WINDOWS_ID}/frames.src.zip",
            f"/{'x' * MAX_PATH_BYTES}/{'ab' * 20}/x.sym",
        )
    ),
    *(
        scope_of(FILE, **headers)
        for headers in (
            *({"auth_token": "x" * 32}, {"debug": "true"}, {"x_config_override": "symbolicate_max_jobs=2"}),
            *({"cookie": "sessionid=abc"}, {"range": "bytes=0-1"}, {"if_none_match": "*"}),
            *({"if_modified_since": "x"}, {"if_range": "x"}, {"x_debuginfod_maxsize": "1"}),
            *({"accept": "text/html,*/*"}, {"content_length": "3"}, {"transfer_encoding": "chunked"}),
        )
    ),
    scope_of(FILE) | {"headers": scope_of(FILE)["headers"] + [(b"accept", b"*/*")] * 2},
]


@pytest.mark.parametrize("scope", UNUSUAL, ids=lambda scope: f"{scope['method']} {scope['path'][:50]}")
def test_unusual_request_is_left_to_django(scope: Scope, with_file: Uploader) -> None:
    assert shortcut(scope) is None


@pytest.mark.parametrize(
    "values",
    [
        {"limit_download": ("600 requests/minute per address",)},
        {"log_requests": True},
        {"full_tracing": True},
    ],
    ids=lambda values: next(iter(values)),
)
def test_with_option_is_left_to_django(
    values: dict[str, Any], runtime_options: Override, with_file: Uploader
) -> None:
    django(scope_of(UNKNOWN))
    runtime_options(**values)
    assert ask(DownloadShortcut(), [scope_of(UNKNOWN), scope_of(FILE)]) == [None, None]


def test_under_maintenance_is_left_to_django(with_file: Uploader) -> None:
    backend = current.backend()
    backend.set_maintenance("full", format_maintenance(Maintenance()), None)
    try:
        assert shortcut(scope_of(FILE)) is None
    finally:
        backend.set_maintenance("full", None, None)
    assert_same(scope_of(FILE))


def test_with_a_disabled_upstream_absence_is_left_to_django(
    settings: pytest_django.Settings, runtime_options: Override
) -> None:
    settings.SYMBOL_SOURCES = ["https://symbols.example.com/"]
    services.discard_all()
    storage_services.search()
    django(scope_of(UNKNOWN))
    assert_same(scope_of(UNKNOWN))
    runtime_options(sources_off=("example.com",))
    assert shortcut(scope_of(UNKNOWN)) is None


def test_new_build_id_is_left_to_django(settings: pytest_django.Settings) -> None:
    settings.SYMBOL_SOURCES = ["debuginfod+https://debuginfod.example.com/"]
    services.discard_all()
    search = storage_services.search()
    path = f"/libxul.so/{'ab' * 20}/libxul.so.sym"
    with pytest.raises(LeftToDjango):
        make_plan(path, b"")
    # Another file of the same id is not symbolicated.
    assert len(make_plan(path.removesuffix(".sym"), b"").names) == len(
        search.places(parse_names("libxul.so", "ab" * 20, "libxul.so"))
    )


def test_follows_the_rollout_of_each_request_of_a_batch() -> None:
    backend = current.backend()
    before = backend.head().version

    def write(version: int, **texts: str) -> None:
        backend.write(Change(version, f"stamp {version}", "ada", "", "", "cli"), texts, version - 1)

    django(scope_of(UNKNOWN))
    write(before + 1, log_requests="30%")
    try:
        scopes = [scope_of(UNKNOWN, x_request_id=f"id-{number}") for number in range(50)]
        # In the order of the batch, each decision is that of its request alone.
        together = [response is None for response in ask(DownloadShortcut(), scopes)]
        assert together == [shortcut(scope) is None for scope in scopes]
        assert set(together) == {True, False}
    finally:
        write(before + 2)
    assert values_of(assert_same(scope_of(UNKNOWN)))["X-Config-Version"] == str(before + 2)


def test_behind_https_has_the_headers_of_django(settings: pytest_django.Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 3600
    django(scope_of(UNKNOWN, x_forwarded_proto="https"))
    response = assert_same(scope_of(UNKNOWN, x_forwarded_proto="https"))
    assert "Strict-Transport-Security" in values_of(response)
    for scope in (scope_of(UNKNOWN), scope_of(UNKNOWN, x_forwarded_proto="http")):
        assert shortcut(scope) is None


def test_failure_is_logged_and_left_to_django(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    django(scope_of(UNKNOWN))
    ways = DownloadShortcut()
    assert ask(ways, [scope_of(UNKNOWN)]) != [None]
    monkeypatch.setattr(downloads, "is_secure", lambda *_: 1 / 0)
    assert ask(ways, [scope_of(UNKNOWN)]) == [None]
    monkeypatch.setattr(downloads, "make_plan", lambda *_: 1 / 0)
    assert shortcut(scope_of(UNKNOWN)) is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_plans_of_few_urls_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MAX_PLANS", 3)
    ways = DownloadShortcut()
    ask(ways, [scope_of(f"/a.pdb/{number:033X}/a.sym") for number in range(10)])
    assert len(ways._plans) == 3


@pytest.mark.parametrize("some_id", ["{:032X}", "{:033X}", "{:040X}"])
@pytest.mark.parametrize("ending", [".pdb", ".so"])
def test_plan_of_the_longest_url_takes_little_memory(some_id: str, ending: str, builder: Uploader) -> None:
    name = "x" * 200 + ending
    file = f"{name.removesuffix('.pdb')}.sym"
    paths = [f"/try/{name}/{some_id.format(number)}/{file}" for number in range(100)]
    queries = [b"code_file=" + b"y" * (MAX_PATH_BYTES - len(path) - 10) for path in paths]
    make_plan(paths[0], queries[0])
    ways = DownloadShortcut()
    tracemalloc.start()
    try:
        for path, query in zip(paths, queries, strict=True):
            assert ways._plan(path.encode(), query)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(paths) < MAX_PLAN_BYTES, size / len(paths)


# Counts


def miss_rows() -> list[tuple[Any, ...]]:
    storage_services.miss_batch().flush()
    MissWriter(redis_services.cache_client()).write()
    columns = ("debug_file", "debug_id", "code_file", "code_id", "count", "debuginfod", "symsrv")
    found = sorted(MissingSymbol.objects.values_list(*columns))
    MissingSymbol.objects.all().delete()
    return found


@pytest.mark.parametrize("path", [*ABSENT, FILE, NAMED])
def test_counts_what_django_counts(path: str, with_file: Uploader) -> None:
    def count(answer: Callable[[Scope], object]) -> tuple[dict[str, float], dict[Any, int], list[Any]]:
        before, usage = counts(), limits_services.usage()
        # No flush: the thread that sends the counts each second would take them away.
        with usage._flush_lock:
            usage._counts.clear()
            answer(scope_of(path))
            after, added = counts(), dict(usage._counts)
        changed = {name: value - before.get(name, 0) for name, value in after.items()}
        return {name: value for name, value in changed.items() if value}, added, miss_rows()

    django(scope_of(path))
    miss_rows()
    found = count(shortcut)
    assert found == count(django)
    assert found[1]


def test_request_that_is_left_to_django_is_not_counted(builder: Uploader) -> None:
    usage = limits_services.usage()
    with usage._flush_lock:
        usage._counts.clear()
        assert ask(DownloadShortcut(), [scope_of(UNKNOWN), scope_of(FILE)]) == [None, None]
        assert not usage._counts
    assert miss_rows() == []


def test_misses_of_a_process_are_bounded_and_sent_once() -> None:
    batch = MissBatch(MissCounts(redis_services.cache_client(), redis_services.cache_guard()))
    for number in range(MAX_COUNTED_AT_ONCE + 5):
        batch.count(orjson.dumps(["", "", "", f"{number:040}"]), Requester.DOWNLOAD)
    batch.count(orjson.dumps(["", "", "", f"{0:040}"]), Requester.DOWNLOAD)
    for _ in range(2):
        batch.flush()
        counted = redis_services.cache_client().hgetall(COUNTS)
        assert len(counted) == MAX_COUNTED_AT_ONCE
        assert sum(map(int, counted.values())) == MAX_COUNTED_AT_ONCE + 1


# Facts


class Request:
    def __init__(self, *names: str) -> None:
        self.names = names


def read_all(
    read: Callable[[Sequence[str]], Facts], rounds: Sequence[Sequence[Request]]
) -> list[tuple[Request, Facts]]:
    """Return what is settled when the requests of each round come together."""

    async def run() -> list[tuple[Request, Facts]]:
        settled: asyncio.Queue[tuple[Request, Facts]] = asyncio.Queue()

        def settle(batch: Sequence[tuple[Request, Facts]]) -> None:
            for pair in batch:
                settled.put_nowait(pair)

        reader: FactReader[Request] = FactReader(read, settle)
        for requests in rounds:
            for request in requests:
                reader.add(request)
            await asyncio.sleep(0)
        return [await settled.get() for _ in range(sum(map(len, rounds)))]

    return asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_facts_of_requests_at_the_same_time_take_one_read() -> None:
    reads: list[Sequence[str]] = []

    def read(names: Sequence[str]) -> Facts:
        reads.append(names)
        return [[name] for name in names]

    requests = [Request("a", "b"), Request("b"), Request(), Request("c", "a")]
    settled = read_all(read, [requests])
    assert reads == [["a", "b", "c"]]
    assert settled == [
        (requests[0], [["a"], ["b"]]),
        (requests[1], [["b"]]),
        (requests[2], []),
        (requests[3], [["c"], ["a"]]),
    ]


def test_facts_are_read_after_the_request_came() -> None:
    reads: list[Sequence[str]] = []

    def read(names: Sequence[str]) -> Facts:
        reads.append(names)
        return [[len(reads)] for _ in names]

    # The second request comes after the first read may have begun, so it never shares that.
    settled = read_all(read, [[Request("a")], [Request("a")]])
    assert [facts for _, facts in settled] == [[[1]], [[2]]]


def test_facts_of_very_many_requests_take_several_reads() -> None:
    sizes: list[int] = []

    def read(names: Sequence[str]) -> Facts:
        sizes.append(len(names))
        return [None for _ in names]

    read_all(read, [[Request(str(number)) for number in range(2 * MAX_AT_ONCE + 1)]])
    assert sizes == [MAX_AT_ONCE, MAX_AT_ONCE, 1]


def test_error_of_one_batch_does_not_keep_the_next_waiting() -> None:
    async def run() -> list[int]:
        sizes: asyncio.Queue[int] = asyncio.Queue()

        def settle(batch: Sequence[tuple[Request, Facts]]) -> None:
            sizes.put_nowait(len(batch))
            raise OSError("of a test")

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        reader: FactReader[Request] = FactReader(lambda names: [None for _ in names], settle)
        for number in range(2 * MAX_AT_ONCE):
            reader.add(Request(str(number)))
        settled = [await sizes.get() for _ in range(2)]
        reader.add(Request("last"))
        return [*settled, await sizes.get()]

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE)) == [MAX_AT_ONCE, MAX_AT_ONCE, 1]


def test_failed_read_is_logged_and_leaves_everything_unknown(caplog: pytest.LogCaptureFixture) -> None:
    def read(_names: Sequence[str]) -> Facts:
        raise OSError("of a test")

    (settled,) = read_all(read, [[Request("a", "b")]])
    assert settled[1] == [Unknown(), Unknown()]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# Through the front


def exchange(front: Front, request: bytes) -> bytes:
    with serving(front) as server:
        return re.sub(rb"date: [^\r]*\r\n", b"", server.exchange(request))


def test_front_sends_the_same_bytes_with_and_without_the_shortcut(with_file: Uploader) -> None:
    def request(path: str, method: str = "GET", *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"X-Request-Id: {REQUEST_ID}", *more, "", ""]
        return "\r\n".join(lines).encode()

    django(scope_of(UNKNOWN))
    # Without a wait for responses, which come in the order of the requests, whoever gives them.
    text = b"".join(
        [
            *(request(UNKNOWN), request(FILE), request(FILE, "HEAD"), request("/__lbheartbeat__")),
            *(request(UNKNOWN, "HEAD"), request(NAMED), request(FILE, "GET", "Connection: close")),
        ]
    )
    taken: list[bool] = []
    ways = DownloadShortcut()

    def take(scope: Any, send: Callable[[Response | None], None]) -> bool:
        taken.append(ways.take(scope, send))
        return taken[-1]

    received = [exchange(front, text) for front in (Front(WSGIHandler(), 2), with_take(take))]
    assert received[0] == received[1]
    assert received[0].count(b"HTTP/1.1 ") == 7
    assert taken == [True, True, True, False, True, True, True]


def with_take(take: Any) -> Front:
    return Front(WSGIHandler(), 2, DEADLINES, take=take)


def test_front_handles_a_taken_request_that_is_left_to_django() -> None:
    def take(_scope: Any, send: Callable[[Response | None], None]) -> bool:
        asyncio.get_running_loop().call_soon(send, None)
        return True

    request = b"GET /__lbheartbeat__ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert exchange(with_take(take), request).startswith(b"HTTP/1.1 200 OK\r\n")


def test_front_takes_no_request_of_a_client_that_does_not_read() -> None:
    """A request that is taken is counted, so it must not come to the application, which counts it, too."""
    body = bytes(8 << 20)
    taken: list[str] = []
    called: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    def take(scope: Any, send: Callable[[Response | None], None]) -> bool:
        taken.append(scope["path"])
        length = (b"Content-Length", b"%d" % len(body))
        asyncio.get_running_loop().call_soon(send, Response(200, [length], [body]))
        return True

    first = b"GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = b"GET /second HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with serving(Front(application, 2, DEADLINES, take=take), send_buffer=1 << 16) as server:
        received = server.exchange(first + second)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert (taken, called) == (["/first"], ["/second"])


def test_front_ignores_the_response_to_a_client_that_has_left() -> None:
    sends: list[Callable[[Response | None], None]] = []
    is_answered = threading.Event()

    def take(scope: Any, send: Callable[[Response | None], None]) -> bool:
        if scope["path"] == "/later":
            sends.append(send)
            return True
        for waiting in sends:
            waiting(Response(200, [(b"Content-Length", b"0")], [b""]))
        is_answered.set()
        return False

    with serving(with_take(take)) as server:
        with server.connect() as client:
            client.sendall(b"GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n")
        request = b"GET /__lbheartbeat__ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert server.exchange(request).startswith(b"HTTP/1.1 200 OK\r\n")
    assert is_answered.is_set()
