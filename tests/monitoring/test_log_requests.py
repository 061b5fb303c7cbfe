from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from tecken.monitoring.logs import add_request_id, choose_request_id, current_request_id, log_context
from tecken.runtimeconfig import current
from tecken.web import middleware

MADE = re.compile(r"[0-9a-f]{16}")


@pytest.fixture(autouse=True)
def afresh() -> None:
    current.reset()


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "tecken.requests"]


@pytest.mark.parametrize("sane", ["a", "c0ffee-1:2", "Root=1-67891233-abcdef01/2+x_.", "x" * 60])
def test_request_id_of_plain_characters_is_used(client: Client, sane: str) -> None:
    assert client.get("/", headers={"x-request-id": sane})["X-Request-Id"] == sane


@pytest.mark.parametrize("odd", ["", "-a", "a b", "a\n", "ä", "{}", "x" * 61, "0123abcd" * 8])
def test_request_id_of_other_characters_is_replaced(odd: str) -> None:
    assert MADE.fullmatch(choose_request_id(odd))


def test_request_without_id_gets_a_new_one(client: Client) -> None:
    ids = {client.get("/")["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_request_id_is_the_subject_of_rollouts() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.subject.request} {current_request_id()}")  # type: ignore[attr-defined]

    request = RequestFactory().get("/", headers={"x-request-id": "r1"})
    assert middleware.pin_options(view)(request).getvalue() == b"r1 r1"
    assert current_request_id() == ""


def test_streamed_response_keeps_the_log_context() -> None:
    def view(_request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(current_request_id().encode() for _ in range(2))

    request = RequestFactory().get("/", headers={"x-request-id": "r1"})
    assert b"".join(middleware.pin_options(view)(request)) == b"r1r1"


def test_request_is_logged_only_with_the_option(
    client: Client, caplog: pytest.LogCaptureFixture, runtime_options: Any
) -> None:
    client.get("/")
    assert lines(caplog) == []
    runtime_options(log_requests=True)
    caplog.set_level("INFO")
    client.get("/?secret=1", headers={"x-request-id": "r1"})
    (line,) = lines(caplog)
    assert line.getMessage() == "GET / 200"
    fields = {name: line.__dict__[name] for name in ("method", "path", "status", "address")}
    assert fields == {"method": "GET", "path": "/", "status": 200, "address": "127.0.0.1"}
    assert line.__dict__["seconds"] > 0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_error_is_always_logged(caplog: pytest.LogCaptureFixture, status: int) -> None:
    middleware.pin_options(lambda _: HttpResponse(status=status))(RequestFactory().get("/a"))
    (line,) = lines(caplog)
    assert (line.levelname, line.getMessage()) == ("ERROR", f"GET /a {status}")


def test_client_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    middleware.pin_options(lambda _: HttpResponse(status=404))(RequestFactory().get("/a"))
    assert lines(caplog) == []


def test_job_message_has_the_request_id() -> None:
    headers: dict[str, Any] = {}
    add_request_id(headers)
    assert headers == {}
    with log_context(request_id="r1"):
        add_request_id(headers)
    assert headers == {"request_id": "r1"}


def test_inner_log_context_ends_first() -> None:
    with log_context(request_id="r1"):
        with log_context(request_id="r2", task_id="t"):
            assert current_request_id() == "r2"
        assert current_request_id() == "r1"
