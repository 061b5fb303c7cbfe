from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import zstandard
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from tecken.errors import BadInput, TooMuch
from tecken.guards import PIECE_BYTES, body, cors, post_only, streamed
from tecken.http import answers_errors

LIMIT = 1000
TEXT = b'{"jobs": []}'


@cors("POST, OPTIONS")
@answers_errors
@post_only
@body(lambda: LIMIT)
def echo(request: HttpRequest, content: bytes) -> HttpResponse:
    if content == b"refuse":
        raise BadInput("refused")
    return HttpResponse(content)


def post(content: bytes, **headers: str) -> HttpResponse:
    return echo(RequestFactory().post("/", content, "application/json", headers=headers or None))


def error(reply: HttpResponse) -> str:
    text: str = orjson.loads(reply.content)["error"]
    return text


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "patch"])
def test_only_post(method: str) -> None:
    reply = echo(getattr(RequestFactory(), method)("/"))
    assert reply.status_code == 405
    assert reply["Allow"] == "POST, OPTIONS"
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert error(reply) == "Must use HTTP POST"


def test_a_preflight_is_answered_at_the_door() -> None:
    reply = echo(RequestFactory().options("/", headers={"Access-Control-Request-Method": "POST"}))
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert reply["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert reply["Access-Control-Allow-Headers"] == "*"


@pytest.mark.parametrize("content", [TEXT, b"refuse", bytes(LIMIT + 1)])
def test_any_page_may_read_answers_and_errors(content: bytes) -> None:
    reply = post(content)
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in reply["Access-Control-Expose-Headers"]


PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_is_unpacked(encoding: str) -> None:
    packed = PACK[encoding](TEXT)
    assert post(packed, **{"Content-Encoding": encoding}).content == TEXT
    assert post(packed, **{"Content-Encoding": encoding.upper()}).content == TEXT


def test_identity_is_no_encoding() -> None:
    assert post(TEXT, **{"Content-Encoding": "identity"}).content == TEXT


def test_an_encoding_nobody_knows() -> None:
    reply = post(zlib.compress(TEXT), **{"Content-Encoding": "deflate"})
    assert reply.status_code == 415
    assert reply["Accept-Encoding"] == "gzip, zstd"
    assert error(reply) == "Content-Encoding must be gzip or zstd, not 'deflate'"


def test_a_body_has_a_limit() -> None:
    assert post(bytes(LIMIT)).content == bytes(LIMIT)
    reply = post(bytes(LIMIT + 1))
    assert (reply.status_code, error(reply)) == (413, "The body is larger than 1000 bytes")


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("length", [LIMIT + 1, 10_000_000])
def test_an_unpacked_body_has_the_same_limit(encoding: str, length: int) -> None:
    reply = post(PACK[encoding](bytes(length)), **{"Content-Encoding": encoding})
    assert (reply.status_code, error(reply)) == (413, "The body is larger than 1000 bytes")
    assert post(PACK[encoding](bytes(LIMIT)), **{"Content-Encoding": encoding}).content == bytes(LIMIT)


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_that_cannot_be_unpacked(encoding: str) -> None:
    packed = PACK[encoding](TEXT)
    for broken in (packed[:-9], packed[:6] + bytes(40)):
        reply = post(broken, **{"Content-Encoding": encoding})
        assert reply.status_code == 400
        assert error(reply)


def chunked(content: bytes) -> HttpRequest:
    request = RequestFactory().post("/")
    request.META |= {"wsgi.input": io.BytesIO(content), "wsgi.input_terminated": True}
    del request.META["CONTENT_LENGTH"]
    return request


def test_a_chunked_body_has_no_length_and_the_same_limit() -> None:
    assert echo(chunked(TEXT)).content == TEXT
    assert echo(chunked(bytes(LIMIT + 1))).status_code == 413


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> Any:
        raise OSError("connection reset")


def test_a_body_that_ends_early() -> None:
    request = chunked(b"")
    request.META["wsgi.input"] = Broken()
    reply = echo(request)
    assert (reply.status_code, error(reply)) == (400, "The body ended early")


def test_a_view_keeps_the_arguments_of_its_path() -> None:
    @post_only
    @body(lambda: LIMIT)
    def view(request: HttpRequest, content: bytes, number: int) -> HttpResponse:
        return HttpResponse(content * number)

    assert view(RequestFactory().post("/", b"ab", "text/plain"), number=3).content == b"ababab"


def test_a_body_is_streamed_in_pieces_and_never_past_its_limit() -> None:
    content = bytes(PIECE_BYTES + 5)
    request = RequestFactory().put("/", content)
    assert list(map(len, streamed(request, len(content)))) == [PIECE_BYTES, 5]
    with pytest.raises(TooMuch, match="larger than 1000 bytes"):
        list(streamed(RequestFactory().put("/", content), 1000))
