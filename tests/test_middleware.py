"""The maintenance door, and one set of options for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import current_thread
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django_redis import get_redis_connection
from redis.connection import AbstractConnection

from tecken.accounts.sessions import SALT, STAFF_COOKIE
from tecken.metrics import SERVED
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Change, Level, Maintenance, format_maintenance
from tecken.runtimeconfig.process import ConfigBackend
from tecken.web import middleware
from tests.accounts.people import key

Shut = Callable[..., None]

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
DEFAULT = {"error": "Under maintenance: We will be back soon.", "maintenance": True}
OVERRIDE = "runtimeconfig.change_option"


@pytest.fixture(autouse=True)
def backend() -> ConfigBackend:
    """Return the backend of this process, which refreshes the snapshot with each change.

    The fixture of the same name in conftest.py replaces it by one that the watcher polls.
    """
    current.reset()
    current.start()
    return current.backend()


@pytest.fixture
def shut() -> Iterator[Shut]:
    """`shut()` begins maintenance, `shut("uploads")` closes uploads, with what a Maintenance has."""

    def begin(level: Level = "full", **more: Any) -> None:
        current.backend().set_maintenance(level, format_maintenance(Maintenance(**more)), None)

    yield begin
    current.backend().set_maintenance("full", None, None)
    current.backend().set_maintenance("uploads", None, None)


@pytest.fixture
def write() -> Iterator[Callable[..., int]]:
    """`write(symbolicate_max_jobs="2")` makes these all that is set, and returns the version."""

    def all_of(**texts: str) -> int:
        before = current.backend().head().version
        change = Change(before + 1, f"stamp {before + 1}", "ada", "", "", "cli")
        current.backend().write(change, texts, before)
        return before + 1

    yield all_of
    all_of()


# The door ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/symbolicate/v5", "/upload/", "/api/tokens/", "/a.pdb/AB/a.sym", "/"])
def test_maintenance_response_to_programs_is_json(client: Client, shut: Shut, path: str) -> None:
    shut()
    for ask in (client.get, client.post, client.put, client.delete):
        answer = ask(path)
        assert (answer.status_code, answer.json()) == (503, DEFAULT)
        assert answer["Content-Type"] == "application/json"


def test_maintenance_response_to_browsers_is_html(client: Client, shut: Shut) -> None:
    shut(message="Back after <lunch>")
    for path in ("/", "/uploads/", "/xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym"):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 503
        assert answer["Content-Type"].startswith("text/html")
        assert b"Back after &lt;lunch&gt;" in answer.content
        assert b"http" not in answer.content  # it loads nothing
    assert client.get("/api/stats/", headers=HTML).json()["error"] == "Under maintenance: Back after <lunch>"


def test_maintenance_head_has_headers_of_get(client: Client, shut: Shut) -> None:
    shut()
    for headers in (HTML, {}):
        there, head = client.get("/", headers=headers), client.head("/", headers=headers)
        assert (head.status_code, head.content) == (503, b"")
        of_each = {"X-Request-Id": ""}
        assert {**head.headers, **of_each} == {**there.headers, **of_each}


def test_maintenance_sets_retry_after(client: Client, shut: Shut, runtime_options: Any) -> None:
    shut()
    assert client.get("/")["Retry-After"] == "60"
    runtime_options(maintenance_retry_after_seconds=90, maintenance_message="Later.")
    answer = client.get("/")
    assert (answer["Retry-After"], answer.json()["error"]) == ("90", "Under maintenance: Later.")
    shut(retry_after=0.5)
    assert client.get("/")["Retry-After"] == "1"
    shut(until=datetime.now(UTC) + timedelta(hours=1))
    assert 3500 < int(client.get("/")["Retry-After"]) <= 3600
    shut(retry_after=5, until=datetime.now(UTC) + timedelta(hours=1))
    assert client.get("/")["Retry-After"] == "5"


def test_maintenance_end_restores_responses(client: Client, shut: Shut) -> None:
    before = client.get("/").content
    shut()
    assert client.get("/").status_code == 503
    current.backend().set_maintenance("full", None, None)
    assert client.get("/").content == before


def test_maintenance_with_invalid_text_closes_site(client: Client, shut: Shut) -> None:
    for text in ("", "x", "[]", '{"message": 1}', "\N{REPLACEMENT CHARACTER}", "0"):
        current.backend().set_maintenance("full", text, None)
        assert client.get("/").json() == DEFAULT
        shut()


def test_maintenance_response_has_cors_headers(client: Client, shut: Shut) -> None:
    shut()
    answer = client.post("/symbolicate/v5", {}, headers={"origin": "https://elsewhere.example"})
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in answer["Access-Control-Expose-Headers"]
    preflight = client.options("/symbolicate/v5", headers={"access-control-request-method": "POST"})
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (200, "*")
    assert preflight["Access-Control-Allow-Headers"] == "*"


def test_maintenance_response_is_not_logged_as_error(
    client: Client, shut: Shut, caplog: pytest.LogCaptureFixture
) -> None:
    """At thousands of requests a second the log would be all that the server does."""
    shut()
    client.get("/")
    assert caplog.records == []


def test_maintenance_response_is_not_cached(client: Client, shut: Shut) -> None:
    shut()
    assert client.get("/")["Cache-Control"] == "no-store"


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
@pytest.mark.parametrize(
    "path",
    [
        "/__lbheartbeat__",
        "/__heartbeat__",
        "/health",
        "/metrics",
        "/admin/login/",
        "/login/",
        "/static/admin/css/base.css",
    ],
)
def test_maintenance_keeps_operator_paths_open(client: Client, shut: Shut, path: str) -> None:
    shut()
    answer = client.get(path)
    answer.close()
    assert answer.status_code == 200


def test_maintenance_closes_download_named_health(client: Client, shut: Shut) -> None:
    shut()
    for name in ("health.pdb", "__init__", "metrics", "admin.pdb"):
        assert client.get(f"/{name}/44E4EC8C2F41492B9369D6B9A059577C2/a.sym").status_code == 503


@pytest.fixture
def redis_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this thread sends to any Redis server; others, as that of usage, send what they like."""
    sent: list[str] = []
    thread, send = current_thread(), AbstractConnection.send_packed_command

    def note(link: AbstractConnection, command: object, *more: Any, **options: Any) -> None:
        if current_thread() is thread:
            sent.append(repr(command))
        send(link, command, *more, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(AbstractConnection, "send_packed_command", note)
    return sent


def test_maintenance_response_needs_neither_database_nor_session_nor_redis(
    client: Client, shut: Shut, redis_commands: list[str]
) -> None:
    """Without the mark django_db, a query fails the test."""
    shut()
    client.cookies["sessionid"] = "a" * 32
    get_redis_connection("default").ping()
    assert len(redis_commands) > 0
    redis_commands.clear()
    for path in ("/", "/api/tokens/", "/symbolicate/v5"):
        assert client.get(path, headers={"auth-token": "b" * 64}).status_code == 503
    assert redis_commands == []


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
def test_maintenance_lets_staff_cookie_pass(client: Client, shut: Shut) -> None:
    client.force_login(User.objects.create_superuser("root"))
    shut()
    assert client.get("/").status_code == 503
    client.get("/admin/")
    assert client.get("/").status_code == 200
    with CaptureQueriesContext(connection) as queries:
        client.get("/")
    assert len(queries) == 0
    client.post("/admin/logout/")
    assert client.get("/").status_code == 503


def test_maintenance_rejects_forged_cookie(
    client: Client, shut: Shut, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut()
    monkeypatch.setattr("django.core.signing.time.time", lambda: 1_000_000_000.0)
    old = signing.dumps(1, salt=SALT)
    monkeypatch.undo()
    for value in (old, signing.dumps(1), signing.dumps(1, key="another", salt=SALT), "1"):
        client.cookies[STAFF_COOKIE] = value
        assert client.get("/").status_code == 503
    client.cookies[STAFF_COOKIE] = signing.dumps(1, salt=SALT)
    assert client.get("/").status_code == 200


def unreachable(request: HttpRequest) -> HttpResponse:
    raise AssertionError(request.path)


UPLOADS = [
    ("post", "/upload/"),
    ("post", "/upload/v2/"),
    ("post", "/upload/v2/1/complete"),
    ("put", "/upload/direct/x"),
    ("post", "/upload/sym_upload"),
    ("post", "/upload/sym_upload/v1/uploads:create"),
    ("post", "/upload/sym_upload/v1/uploads/1:complete"),
]


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_store")
def test_maintenance_of_uploads_closes_uploads_only(client: Client, shut: Shut) -> None:
    shut("uploads", message="The disk is full.", retry_after=7)
    for method, path in UPLOADS:
        answer = getattr(client, method)(path)
        assert (answer.status_code, answer["Retry-After"]) == (503, "7")
        assert answer.json() == {"error": "Uploads are closed: The disk is full.", "maintenance": True}
    job = orjson.dumps({"stacks": [], "memoryMap": []})
    assert client.post("/symbolicate/v5", job, "application/json").status_code == 200
    assert client.get("/xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym").status_code == 404
    assert client.get("/upload/").status_code == 405


# One set of options --------------------------------------------------------------------------------------


def answered(view: Callable[[HttpRequest], Any], **headers: str) -> Any:
    return middleware.pin_options(view)(RequestFactory().get("/", headers=headers))


@pytest.mark.parametrize("path", ["/upload/", "/upload", "//upload/", "/upload//v2/"])
def test_maintenance_of_uploads_closes_every_spelling(client: Client, shut: Shut, path: str) -> None:
    shut("uploads")
    assert client.post("/", PATH_INFO=path).status_code == 503


def test_responses_have_config_version(client: Client, write: Callable[..., int], shut: Shut) -> None:
    version = str(write(symbolicate_max_jobs="2"))
    for path in ("/", "/no/such", "/__lbheartbeat__"):
        assert client.get(path)["X-Config-Version"] == version
    assert client.post("/symbolicate/v5", b"{", "application/json")["X-Config-Version"] == version
    shut()
    assert client.get("/")["X-Config-Version"] == version


def test_exception_response_has_config_version(client: Client, write: Callable[..., int]) -> None:
    client.raise_request_exception = False
    version = write()
    answer = client.post("/upload/", {"a": "b"})  # no database in this test
    assert (answer.status_code, answer["X-Config-Version"]) == (403, str(version))


def test_request_keeps_one_version(write: Callable[..., int]) -> None:
    version = write(symbolicate_max_jobs="2")

    def view(_request: HttpRequest) -> HttpResponse:
        write(symbolicate_max_jobs="3")
        return HttpResponse(str(current.options().symbolicate_max_jobs))

    answer = answered(view)
    assert (answer.content, answer["X-Config-Version"]) == (b"2", str(version))
    assert current.options().symbolicate_max_jobs == 3


def test_streamed_response_keeps_one_version(write: Callable[..., int]) -> None:
    version = write(symbolicate_max_jobs="2")

    def lines() -> Iterator[bytes]:
        for _ in range(2):
            yield b""
            yield f"{current.version()}: {current.options().symbolicate_max_jobs};".encode()

    answer = answered(lambda _: StreamingHttpResponse(lines()))
    write(symbolicate_max_jobs="3")
    assert b"".join(answer) == f"{version}: 2;".encode() * 2


@pytest.mark.django_db
def test_stream_closed_early_ends_generator() -> None:
    ended = []

    def lines() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            ended.append(True)

    answer = answered(lambda _: StreamingHttpResponse(lines()))
    next(iter(answer))
    answer.close()
    assert ended


def tracing(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(current.options().full_tracing))


def test_rollout_of_half_reaches_some_requests(write: Callable[..., int]) -> None:
    write(full_tracing="50%")
    assert {answered(tracing).content for _ in range(200)} == {b"True", b"False"}


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
def test_rollout_to_user_reaches_only_that_user(client: Client, write: Callable[..., int]) -> None:
    from tecken.http.decorators import authenticate  # noqa: PLC0415 - only here

    def view(request: HttpRequest) -> HttpResponse:
        before = current.options().full_tracing
        authenticate(request)
        return HttpResponse(f"{before} {current.options().full_tracing}")

    token = key("tokens.manage_tokens", email="ada@example.com")
    other = key("tokens.manage_tokens", email="bob@example.com")
    write(full_tracing="users ada@example.com")
    assert answered(view, **{"Auth-Token": token}).content == b"False True"
    assert answered(view, **{"Auth-Token": other}).content == b"False False"
    write(full_tracing="100%")
    assert answered(view, **{"Auth-Token": other}).content == b"True True"


JOB: dict[str, list[object]] = {"memoryMap": [], "stacks": []}


def symbolicate(client: Client, jobs: int, **headers: str) -> Any:
    body = orjson.dumps({"jobs": [JOB] * jobs})
    return client.post("/symbolicate/v5", body, "application/json", headers=headers)


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_store")
def test_override_with_permission_changes_one_request(client: Client) -> None:
    token = key(OVERRIDE)
    override = {"X-Config-Override": "symbolicate_max_jobs=2; symbolicate_max_frames = 5;"}
    assert symbolicate(client, 3).status_code == 200
    refused = symbolicate(client, 3, **override, **{"Auth-Token": token})
    assert (refused.status_code, refused.json()["error"]) == (
        413,
        "Too many jobs: 3, at most 2 in one request",
    )
    assert symbolicate(client, 3).status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_store")
def test_override_without_permission_is_forbidden(client: Client) -> None:
    override = {"X-Config-Override": "symbolicate_max_jobs=2"}
    for token in ({}, {"Auth-Token": "f" * 64}, {"Auth-Token": key("tokens.manage_tokens")}):
        answer = symbolicate(client, 1, **override, **token)
        assert answer.status_code == 403
        assert answer["X-Config-Version"]
    assert answer.json()["error"] == f"X-Config-Override needs the permission {OVERRIDE}"


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_store")
@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("symbolicate_max_jobs=many", "symbolicate_max_jobs"),
        ("symbolicate_max_jobs=0; symbolicate_max_frames=0", "symbolicate_max_frames"),
        ("symbolicate_max_job=2", "symbolicate_max_job"),
        ("symbolicate_max_jobs", "NAME=VALUE"),
        ("", "NAME=VALUE"),
    ],
)
def test_override_invalid_is_400(client: Client, header: str, told: str) -> None:
    answer = symbolicate(client, 1, **{"X-Config-Override": header, "Auth-Token": key(OVERRIDE)})
    assert answer.status_code == 400
    assert told in answer.json()["error"]


# Metrics


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/symbolicate/v5", "symbolicate"),
        ("/source/v1", "symbolicate"),
        ("/upload", "upload"),
        ("/upload/v2/", "upload"),
        ("/api/config/", "api"),
        ("/", "page"),
        ("/health/", "page"),
        ("/xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym", "download"),
        ("/buildid/abab/debuginfo", "download"),
    ],
)
def test_request_is_counted_by_its_kind(path: str, kind: str) -> None:
    before = served()
    middleware.pin_options(lambda _: HttpResponse(status=418))(RequestFactory().get(path))
    assert served()[kind, "418"] == before.get((kind, "418"), 0) + 1


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/__lbheartbeat__"])
def test_request_of_a_monitor_is_not_counted(path: str) -> None:
    before = served()
    middleware.pin_options(lambda _: HttpResponse(status=503))(RequestFactory().get(path))
    assert served() == before


def served() -> dict[tuple[str, str], float]:
    return {
        (sample.labels["kind"], sample.labels["status"]): sample.value
        for family in SERVED.collect()
        for sample in family.samples
        if sample.name == "tecken_requests_total"
    }
