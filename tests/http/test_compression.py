"""Accept-Encoding: which coding, which answers, and none that could leak a secret."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import zstandard
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from tecken.http.responses import SMALLEST_BYTES, accepts_gzip, choose_coding, compression_middleware
from tests.web.api.people import key_of, person

TEXT = b'{"name": "value"}' * 1000


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        *[("", None), ("identity", None), ("br", None), ("gzip;q=0", None), ("*;q=0", None)],
        *[("gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("GZIP ; Q=0.5", "gzip")],
        *[
            ("gzip, zstd;q=0.5", "gzip"),
            ("gzip;q=0.1, zstd;q=0.2", "zstd"),
            ("*", "zstd"),
            ("zstd;q=0, *", "gzip"),
        ],
        *[("identity, gzip;q=0.5", None), ("identity;q=0.5, gzip", "gzip"), ("gzip;q=nonsense", "gzip")],
    ],
)
def test_choice_of_a_coding_follows_the_weights(header: str, coding: str | None) -> None:
    assert choose_coding(header) == coding


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("gzip", True), ("*", True), ("gzip;q=0, *", False), ("", False), ("br", False), ("gzip;q=0.001", True)],
)
def test_accepts_gzip_follows_the_header(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def answer(
    rf: RequestFactory, coding: str, headers: dict[str, str] | None = None, body: bytes = TEXT
) -> HttpResponse:
    response = HttpResponse(body, headers={"Content-Type": "application/json", **(headers or {})})
    reply = compression_middleware(lambda _request: response)(
        rf.get("/", headers={"Accept-Encoding": coding})
    )
    assert isinstance(reply, HttpResponse)
    return reply


@pytest.mark.parametrize(
    ("coding", "unpack"),
    [("gzip", gzip.decompress), ("zstd", lambda raw: zstandard.ZstdDecompressor().decompress(raw))],
)
def test_large_response_is_compressed(rf: RequestFactory, coding: str, unpack: Any) -> None:
    reply = answer(rf, coding, {"ETag": '"8"', "Vary": "Cookie"})
    assert unpack(reply.content) == TEXT
    assert reply["Content-Encoding"] == coding
    assert int(reply["Content-Length"]) == len(reply.content) < len(TEXT) / 10
    assert reply["Vary"] == "Cookie, Accept-Encoding"
    assert reply["ETag"] == 'W/"8"'


def test_large_response_without_accept_encoding_varies(rf: RequestFactory) -> None:
    reply = answer(rf, "", {"ETag": '"8"'})
    assert (reply.content, reply["Vary"], reply["ETag"]) == (TEXT, "Accept-Encoding", '"8"')
    assert "Content-Encoding" not in reply


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Range": "bytes 0-9/10"},
        {"Cache-Control": "no-transform"},
        {"Content-Type": "application/octet-stream"},
    ],
)
def test_encoded_partial_and_binary_responses_are_not_compressed(
    rf: RequestFactory, headers: dict[str, str]
) -> None:
    reply = answer(rf, "gzip", headers)
    assert reply.content == TEXT
    assert "Vary" not in reply


def test_small_response_is_not_compressed(rf: RequestFactory) -> None:
    assert "Content-Encoding" not in answer(rf, "gzip", body=b"x" * (SMALLEST_BYTES - 1))
    assert "Content-Encoding" in answer(rf, "gzip", body=b"x" * SMALLEST_BYTES)


def test_streamed_response_is_not_compressed(rf: RequestFactory) -> None:
    response = StreamingHttpResponse([TEXT], headers={"Content-Type": "text/csv"})
    assert (
        compression_middleware(lambda _request: response)(rf.get("/", headers={"Accept-Encoding": "gzip"}))
        is response
    )
    assert "Content-Encoding" not in response


def test_json_with_no_store_is_not_compressed(rf: RequestFactory) -> None:
    assert "Content-Encoding" not in answer(rf, "gzip", {"Cache-Control": "no-store"})


@pytest.mark.django_db
def test_response_with_a_new_token_is_not_compressed(client: Client) -> None:
    """Together with a note of any length, from which its key could be guessed (BREACH)."""
    key = key_of(person("a@example.com", "tokens.manage_tokens", "upload.upload_symbols"))
    reply = client.post(
        "/api/tokens/",
        {"permissions": ["upload.upload_symbols"], "notes": "x" * 1900},
        content_type="application/json",
        headers={"Auth-Token": key, "Accept-Encoding": "gzip"},
    )
    assert (reply.status_code, reply["Cache-Control"]) == (201, "no-store")
    assert "Content-Encoding" not in reply


@pytest.mark.django_db
def test_page_for_a_session_is_not_compressed(client: Client) -> None:
    packed = {"Accept-Encoding": "gzip"}
    assert client.get("/help/api/", headers=packed)["Content-Encoding"] == "gzip"
    client.force_login(person("a@example.com"))
    assert "Content-Encoding" not in client.get("/help/api/", headers=packed)


@pytest.mark.parametrize("address", ["/help/api/", "/api/docs"])
def test_head_has_the_headers_of_get(client: Client, address: str) -> None:
    """Pages differ in the length of their form token's mask only where it compresses otherwise."""
    packed = {"Accept-Encoding": "zstd"}
    head, get = client.head(address, headers=packed), client.get(address, headers=packed)
    assert head.content == b""
    assert head["Content-Encoding"] == get["Content-Encoding"] == "zstd"
    assert abs(int(head["Content-Length"]) - int(get["Content-Length"])) < 200


def test_symbolication_response_is_compressed(client: Client, clear_redis_store: None) -> None:
    body = json.dumps({"memoryMap": [], "stacks": [[[-1, offset] for offset in range(1000)]]})
    replies = [
        client.post("/symbolicate/v5", body, content_type="text/plain", headers={"Accept-Encoding": coding})
        for coding in ("zstd", "gzip", "identity")
    ]
    assert [reply.get("Content-Encoding") for reply in replies] == ["zstd", "gzip", None]
    assert gzip.decompress(replies[1].content) == replies[2].content
    assert zstandard.ZstdDecompressor().decompress(replies[0].content) == replies[2].content
    assert {reply["Vary"] for reply in replies} == {"Accept-Encoding"}
    assert {reply["Access-Control-Allow-Origin"] for reply in replies} == {"*"}
