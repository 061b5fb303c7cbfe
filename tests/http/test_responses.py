from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson
import pytest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from tecken import errors
from tecken.http.responses import STATUS, error_reply, json_reply, not_found, render_errors, reply_to


def tree(error: type[errors.TeckenError]) -> Iterator[type[errors.TeckenError]]:
    yield error
    for child in error.__subclasses__():
        yield from tree(child)


def test_reply_status_of_each_error_is_in_the_table() -> None:
    ours = {error for error in tree(errors.TeckenError) if error.__module__ == errors.__name__}
    assert ours == set(STATUS)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadModule("bad"), 400),
        (errors.Forbidden("not allowed"), 403),
        (errors.TooLarge("too much"), 413),
        (errors.NotFound("absent"), 404),
        (errors.StoreUnavailable("away"), 503),
    ],
)
def test_reply_to_an_error_has_its_text(error: errors.TeckenError, status: int) -> None:
    reply = reply_to(error, "/x")
    assert reply.status_code == status
    assert reply["Content-Type"] == "application/json"
    assert orjson.loads(reply.content)["error"] == str(error)


def test_reply_404_has_the_path() -> None:
    assert orjson.loads(reply_to(errors.NotFound("Symbol Not Found"), "/a/b").content) == {
        "error": "Symbol Not Found",
        "path": "/a/b",
    }


def test_request_for_a_path_without_a_view_is_404() -> None:
    reply = not_found(RequestFactory().get("/nowhere"), Exception())
    assert reply.status_code == 404
    assert orjson.loads(reply.content) == {"error": "Not Found", "path": "/nowhere"}


def test_json_reply_has_its_length() -> None:
    assert json_reply(b'{"a": 1}')["Content-Length"] == "8"


@pytest.mark.parametrize(("told", "said"), [(None, "5"), (0.0, "1"), (2.1, "3"), (120.0, "120")])
def test_reply_503_has_retry_after(told: float | None, said: str) -> None:
    assert reply_to(errors.Throttled("slow down", told), "/")["Retry-After"] == said


def test_reply_429_has_retry_after() -> None:
    reply = reply_to(errors.LockedOut("too often", 300), "/")
    assert (reply.status_code, reply["Retry-After"]) == (429, "300")


def test_error_reply_with_more_members_has_them() -> None:
    assert orjson.loads(error_reply(400, "no", limit=3).content) == {"error": "no", "limit": 3}


@render_errors
def view(request: HttpRequest, error: Exception) -> HttpResponse:
    raise error


@pytest.mark.parametrize(
    "error", [ValueError("secret"), errors.TeckenError("secret"), errors.MalformedPageFile("secret")]
)
def test_unexpected_exception_is_logged_and_not_in_the_reply(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "tecken.http.responses"):
        reply = view(RequestFactory().get("/x"), error)
    assert reply.status_code == 500
    assert reply.content == b'{"error":"Internal Server Error"}'
    assert "secret" in caplog.text


@pytest.mark.parametrize("error", [OperationalError("secret"), InterfaceError("secret")])
def test_database_failure_is_503(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "tecken.http.responses"):
        reply = view(RequestFactory().get("/x"), error)
    assert (reply.status_code, reply["Retry-After"]) == (503, "5")
    assert reply.content == b'{"error":"The database does not answer"}'
    assert "secret" in caplog.text


def test_error_raised_on_purpose_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert view(RequestFactory().get("/x"), errors.InvalidInput("no")).status_code == 400
    assert caplog.text == ""


def test_unknown_path_is_404_in_json(client: Client) -> None:
    reply = client.get("/nothing/here")
    assert (reply.status_code, reply.json()) == (404, {"error": "Not Found", "path": "/nothing/here"})
