from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import zstandard
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django_redis.cache import RedisCache
from pytest_django import DjangoAssertNumQueries

from tecken.accounts.models import Token
from tecken.errors import InvalidInput, TooLarge
from tecken.http.decorators import (
    PIECE_BYTES,
    Grant,
    body,
    cors,
    get_only,
    post_only,
    require_permission,
    stream_body,
)
from tecken.http.responses import render_errors
from tecken.runtimeconfig.current import options
from tests.accounts.people import key, user
from tests.support.options import Override
from tests.support.redis_server import RedisServer

LIMIT = 1000
TEXT = b'{"jobs": []}'


@cors("POST, OPTIONS")
@render_errors
@post_only
@body(lambda: LIMIT)
def echo(request: HttpRequest, content: bytes) -> HttpResponse:
    if content == b"refuse":
        raise InvalidInput("refused")
    return HttpResponse(content)


def post(content: bytes, **headers: str) -> HttpResponse:
    return echo(RequestFactory().post("/", content, "application/json", headers=headers or None))


def error(reply: HttpResponse) -> str:
    text: str = orjson.loads(reply.content)["error"]
    return text


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "patch"])
def test_post_only_for_other_methods_is_405(method: str) -> None:
    reply = echo(getattr(RequestFactory(), method)("/"))
    assert reply.status_code == 405
    assert reply["Allow"] == "POST, OPTIONS"
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert error(reply) == "Must use HTTP POST"


def test_cors_answers_a_preflight_without_the_view() -> None:
    reply = echo(RequestFactory().options("/", headers={"Access-Control-Request-Method": "POST"}))
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert reply["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert reply["Access-Control-Allow-Headers"] == "*"


@pytest.mark.parametrize("content", [TEXT, b"refuse", bytes(LIMIT + 1)])
def test_cors_allows_every_origin_to_read_replies_and_errors(content: bytes) -> None:
    reply = post(content)
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in reply["Access-Control-Expose-Headers"]


PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("encoding", PACK)
def test_body_in_a_supported_encoding_is_unpacked(encoding: str) -> None:
    packed = PACK[encoding](TEXT)
    assert post(packed, **{"Content-Encoding": encoding}).content == TEXT
    assert post(packed, **{"Content-Encoding": encoding.upper()}).content == TEXT


def test_body_with_identity_encoding_is_accepted() -> None:
    assert post(TEXT, **{"Content-Encoding": "identity"}).content == TEXT


def test_body_in_an_unknown_encoding_is_415() -> None:
    reply = post(zlib.compress(TEXT), **{"Content-Encoding": "deflate"})
    assert reply.status_code == 415
    assert reply["Accept-Encoding"] == "gzip, zstd"
    assert error(reply) == "Content-Encoding must be gzip or zstd, not 'deflate'"


def test_body_over_the_limit_is_413() -> None:
    assert post(bytes(LIMIT)).content == bytes(LIMIT)
    reply = post(bytes(LIMIT + 1))
    assert (reply.status_code, error(reply)) == (413, "The body is larger than 1000 bytes")


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("length", [LIMIT + 1, 10_000_000])
def test_body_over_the_limit_when_unpacked_is_413(encoding: str, length: int) -> None:
    reply = post(PACK[encoding](bytes(length)), **{"Content-Encoding": encoding})
    assert (reply.status_code, error(reply)) == (413, "The body is larger than 1000 bytes")
    assert post(PACK[encoding](bytes(LIMIT)), **{"Content-Encoding": encoding}).content == bytes(LIMIT)


@pytest.mark.parametrize("encoding", PACK)
def test_body_that_cannot_be_unpacked_is_400(encoding: str) -> None:
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


def test_chunked_body_over_the_limit_is_413() -> None:
    assert echo(chunked(TEXT)).content == TEXT
    assert echo(chunked(bytes(LIMIT + 1))).status_code == 413


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> Any:
        raise OSError("connection reset")


def test_body_that_ends_early_is_400() -> None:
    request = chunked(b"")
    request.META["wsgi.input"] = Broken()
    reply = echo(request)
    assert (reply.status_code, error(reply)) == (400, "The body ended early")


def test_body_view_gets_the_arguments_of_its_path() -> None:
    @post_only
    @body(lambda: LIMIT)
    def view(request: HttpRequest, content: bytes, number: int) -> HttpResponse:
        return HttpResponse(content * number)

    assert view(RequestFactory().post("/", b"ab", "text/plain"), number=3).content == b"ababab"


def test_stream_of_a_body_is_in_pieces_and_never_past_the_limit() -> None:
    content = bytes(PIECE_BYTES + 5)
    request = RequestFactory().put("/", content)
    assert list(map(len, stream_body(request, len(content)))) == [PIECE_BYTES, 5]
    with pytest.raises(TooLarge, match="larger than 1000 bytes"):
        list(stream_body(RequestFactory().put("/", content), 1000))


MANAGE, UPLOAD = "tokens.manage_tokens", "upload.upload_symbols"


@require_permission(MANAGE, UPLOAD)
def who(request: HttpRequest, name: str = "") -> HttpResponse:
    grant: Grant = request.auth  # type: ignore[attr-defined]
    assert request.user == grant.user
    return HttpResponse(f"{name} {grant.user} {grant.token} {sorted(grant.permissions)}".strip())


def ask(headers: dict[str, str] | None = None, method: str = "post", cookie: str = "") -> HttpResponse:
    request = getattr(RequestFactory(), method)("/", headers=headers)
    if cookie:
        request.COOKIES[settings.SESSION_COOKIE_NAME] = cookie
    return who(request)


def session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


@pytest.mark.django_db
def test_permission_check_with_one_of_the_permissions_passes() -> None:
    made = key(MANAGE)
    reply = who(RequestFactory().post("/", headers={"Auth-Token": made}), name="x")
    assert reply.content.decode() == f"x ada@example.com {made[:8]}... ['{MANAGE}']"
    assert ask({"Auth-Token": f"{made}-a comment"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"digest": "0" * 64}, "API Token not matched"),
        ({"expires_at": datetime.now(UTC)}, "API Token found but expired"),
        ({"user__is_active": False}, "API Token matched but user not active"),
    ],
)
def test_permission_check_with_a_bad_token_is_403_with_the_reason(
    clear_redis_cache: None, change: dict[str, Any], text: str
) -> None:
    made = key(MANAGE)
    if "user__is_active" in change:
        User.objects.update(is_active=False)
    else:
        Token.objects.update(**change)
    reply = ask({"Auth-Token": made})
    assert (reply.status_code, error(reply)) == (403, text)
    assert "Auth-Token" in reply["Vary"]


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"Auth-Token": ""}])
def test_permission_check_without_a_token_is_403(headers: dict[str, str]) -> None:
    reply = ask(headers)
    assert (reply.status_code, error(reply)) == (
        403,
        "This requires an Auth-Token to authenticate the request",
    )
    assert "Auth-Token" in reply["Vary"]


@pytest.mark.django_db
def test_permission_check_with_another_permission_is_403() -> None:
    reply = ask({"Auth-Token": key("upload.view_all_uploads")})
    assert (reply.status_code, error(reply)) == (403, f"This needs the permission {MANAGE} or {UPLOAD}")


@pytest.mark.django_db
def test_permission_check_after_the_owner_lost_it_is_403() -> None:
    made = key(MANAGE)
    assert ask({"Auth-Token": made}).status_code == 200
    User.objects.get().user_permissions.clear()
    assert ask({"Auth-Token": made}).status_code == 403


@pytest.mark.django_db
def test_unknown_tokens_beyond_the_limit_are_429() -> None:
    def reply_to(token: str) -> HttpResponse:
        headers = {"Auth-Token": token}
        return who(RequestFactory().post("/", headers=headers, REMOTE_ADDR="192.0.2.99"))

    for _ in range(options().failed_tokens):
        assert reply_to("a guess").status_code == 403
    reply = reply_to("another guess")
    assert (reply.status_code, reply["Retry-After"]) == (429, str(round(options().failure_seconds)))


@pytest.mark.django_db
def test_valid_token_from_an_address_with_many_failures_is_accepted(
    clear_redis_cache: None, runtime_options: Override
) -> None:
    runtime_options(failed_tokens=2)
    made = key(MANAGE)
    guesses = [ask({"Auth-Token": f"guess {number}"}).status_code for number in range(3)]
    assert guesses == [403, 403, 429]
    assert ask({"Auth-Token": made}).status_code == 200
    assert ask({"Auth-Token": "guess"}).status_code == 429


@pytest.mark.django_db
def test_token_header_that_is_too_long_is_refused_without_a_query(
    clear_redis_cache: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    made = key(MANAGE)
    with django_assert_num_queries(0):
        reply = ask({"Auth-Token": f"{made}-{'x' * 100_000}"})
    assert (reply.status_code, error(reply)) == (403, "API Token not matched")
    assert ask({"Auth-Token": f"{made}-{'x' * 400}"}).status_code == 200


@pytest.mark.django_db
def test_permission_check_with_a_session_passes(clear_redis_cache: None) -> None:
    cookie = session(user(MANAGE))
    assert ask(method="get", cookie=cookie).content.decode() == f"ada@example.com None ['{MANAGE}']"
    User.objects.update(is_active=False)
    assert ask(method="get", cookie=cookie).status_code == 403
    assert ask(method="get", cookie="forged").status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_session_used_by_a_page_of_another_site_is_403(
    clear_redis_cache: None, headers: dict[str, str], status: int
) -> None:
    assert ask(headers, cookie=session(user(MANAGE))).status_code == status


@pytest.mark.django_db
def test_token_used_by_a_page_of_another_site_is_accepted() -> None:
    made = key(MANAGE)
    assert ask({"Auth-Token": made, "Sec-Fetch-Site": "cross-site"}).status_code == 200


class Unread:
    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.django_db
def test_body_of_a_refused_request_that_expects_100_is_not_read() -> None:
    request = RequestFactory().post("/", headers={"Expect": "100-continue"})
    request._stream = Unread()  # type: ignore[assignment]
    assert who(request).status_code == 403


@pytest.mark.django_db
def test_session_check_without_redis_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = session(user(MANAGE))
    with RedisServer() as server:
        url = server.url
    away = RedisCache(url, {"OPTIONS": {"SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 1}})
    monkeypatch.setattr(caches._connections, "default", away)  # type: ignore[attr-defined]
    assert ask(method="get", cookie=cookie).status_code == 503


@get_only
def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"read")


@pytest.mark.parametrize("method", ["get", "head"])
def test_get_only_for_reading_methods_calls_the_view(method: str) -> None:
    assert read(getattr(RequestFactory(), method)("/")).status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_get_only_for_other_methods_is_405(method: str) -> None:
    reply = read(getattr(RequestFactory(), method)("/"))
    assert isinstance(reply, HttpResponse)
    assert (reply.status_code, reply["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert error(reply) == "Must use HTTP GET"


@pytest.mark.parametrize(
    "guard", [cors("POST"), post_only, get_only, require_permission("a.b"), body(lambda: LIMIT)]
)
def test_guard_around_a_view_keeps_its_name_and_marks(guard: Callable[..., Any]) -> None:
    """Django reads marks such as `csrf_exempt` from the outermost function."""

    def view(request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    view.csrf_exempt = True  # type: ignore[attr-defined]
    guarded = guard(view)
    assert (guarded.__name__, guarded.csrf_exempt) == ("view", True)
