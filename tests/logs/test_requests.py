from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from tecken.logs.about import about, current_request, request_id
from tecken.logs.jobs import send_along
from tecken.runtimeconfig import current
from tecken.web import middleware

MADE = re.compile(r"[0-9a-f]{16}")


@pytest.fixture(autouse=True)
def afresh() -> None:
    current.forget()


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "tecken.requests"]


@pytest.mark.parametrize("sane", ["a", "c0ffee-1:2", "Root=1-67891233-abcdef01/2+x_.", "x" * 60])
def test_a_sane_id_is_taken(client: Client, sane: str) -> None:
    assert client.get("/", headers={"x-request-id": sane})["X-Request-Id"] == sane


@pytest.mark.parametrize("odd", ["", "-a", "a b", "a\n", "ä", "{}", "x" * 61, "0123abcd" * 8])
def test_another_is_not(odd: str) -> None:
    assert MADE.fullmatch(request_id(odd))


def test_each_request_without_one_has_another(client: Client) -> None:
    ids = {client.get("/")["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_it_is_the_one_that_rollouts_go_by() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.subject.request} {current_request()}")  # type: ignore[attr-defined]

    asked = RequestFactory().get("/", headers={"x-request-id": "r1"})
    assert middleware.pin_options(view)(asked).getvalue() == b"r1 r1"
    assert current_request() == ""


def test_what_is_streamed_is_about_the_request_too() -> None:
    def view(_request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(current_request().encode() for _ in range(2))

    asked = RequestFactory().get("/", headers={"x-request-id": "r1"})
    assert b"".join(middleware.pin_options(view)(asked)) == b"r1r1"


def test_no_line_unless_one_is_wanted(
    client: Client, caplog: pytest.LogCaptureFixture, runtime_options: Any
) -> None:
    client.get("/")
    assert lines(caplog) == []
    runtime_options(log_requests=True)
    caplog.set_level("INFO")
    client.get("/?secret=1", headers={"x-request-id": "r1"})
    (line,) = lines(caplog)
    assert line.getMessage() == "GET / 200"
    told = {name: line.__dict__[name] for name in ("method", "path", "status", "address")}
    assert told == {"method": "GET", "path": "/", "status": 200, "address": "127.0.0.1"}
    assert line.__dict__["seconds"] > 0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_what_fails_with_us_always_has_one(caplog: pytest.LogCaptureFixture, status: int) -> None:
    middleware.pin_options(lambda _: HttpResponse(status=status))(RequestFactory().get("/a"))
    (line,) = lines(caplog)
    assert (line.levelname, line.getMessage()) == ("ERROR", f"GET /a {status}")


def test_what_a_client_got_wrong_has_none(caplog: pytest.LogCaptureFixture) -> None:
    middleware.pin_options(lambda _: HttpResponse(status=404))(RequestFactory().get("/a"))
    assert lines(caplog) == []


def test_a_job_is_sent_with_the_request_that_wants_it() -> None:
    headers: dict[str, Any] = {}
    send_along(headers)
    assert headers == {}
    with about(request_id="r1"):
        send_along(headers)
    assert headers == {"request_id": "r1"}


def test_the_inner_of_two_ends_first() -> None:
    with about(request_id="r1"):
        with about(request_id="r2", task_id="t"):
            assert current_request() == "r2"
        assert current_request() == "r1"
