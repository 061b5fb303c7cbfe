"""What limits do to requests: the whole house, with Redis."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_django
import redis
from django.conf import settings as site
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from prometheus_client import REGISTRY

from tecken import services
from tecken.accounts.models import Token
from tecken.accounts.tokens import token_owners
from tecken.http.decorators import stream_body
from tecken.http.ratelimit import caller_of, charge, rate_limited, upload_cost
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.redisclient import services as redis_services
from tests.accounts.people import key, user
from tests.support.options import Override
from tests.support.quiet_usage import quiet_usage
from tests.support.redis_server import free_port
from tests.upload.zips import zipped

pytestmark = pytest.mark.django_db

V5 = "/symbolicate/v5"
TWO_FRAMES = orjson.dumps({"memoryMap": [["", ""]], "stacks": [[[0, 1], [-1, 2]]]})
UPLOAD = "upload.upload_symbols"
DEBUG_ID = "44E4EC8C2F41492B9369D6B9A059577C2"
SYMBOLS = f"MODULE Linux x86_64 {DEBUG_ID} xul\nPUBLIC 10 0 main\n".encode()


@pytest.fixture(autouse=True)
def parts(
    tmp_path: Path, settings: pytest_django.Settings, monkeypatch: pytest.MonkeyPatch, clear_redis_cache: None
) -> Iterator[redis.Redis]:
    settings.STORAGE_URL = f"file://{tmp_path}"
    services.discard_all()
    quiet_usage(monkeypatch, redis_services.counters_client())
    yield redis_services.counters_client()
    services.discard_all()


def post(body: bytes = TWO_FRAMES, token: str = "") -> Any:
    headers = {"Auth-Token": token} if token else {}
    return Client().post(V5, body, "application/json", headers=headers)


def test_request_without_limits_needs_no_redis_and_has_no_headers(settings: pytest_django.Settings) -> None:
    settings.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    reply = post()
    assert reply.status_code == 200
    assert "RateLimit" not in reply


def test_response_to_a_charged_request_has_the_remaining_amount(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("3 requests/hour per address", "100 frames/hour per address"))
    reply = post()
    assert reply.status_code == 200
    assert reply["RateLimit-Policy"] == (
        '"requests-hour-address";q=3;w=3600, "frames-hour-address";q=100;w=3600;qu="frames"'
    )
    assert reply["RateLimit"].startswith('"requests-hour-address";r=2;t=')
    assert ', "frames-hour-address";r=98;t=' in reply["RateLimit"]
    assert "RateLimit" in reply["Access-Control-Expose-Headers"]


def test_request_over_the_limit_is_429(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    assert [post().status_code for _ in range(3)] == [200, 200, 429]
    reply = post()
    assert orjson.loads(reply.content) == {
        "error": "More than 2 requests/hour per address",
        "violated-policies": ["requests-hour-address"],
    }
    assert 1790 < int(reply["Retry-After"]) <= 1800
    wait = int(reply["RateLimit"].rpartition("t=")[2])
    assert reply["RateLimit"].startswith('"requests-hour-address";r=0;')
    assert wait <= int(reply["Retry-After"])
    assert reply["Access-Control-Allow-Origin"] == "*"


def test_request_with_a_malformed_body_is_charged(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    assert [post(b"{").status_code for _ in range(3)] == [400, 400, 429]


def test_request_without_remaining_frames_is_refused_before_its_body(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("4 frames/hour per address", "9 requests/hour per address"))
    assert [post().status_code for _ in range(2)] == [200, 200]
    reply = post(b"{")
    assert reply.status_code == 429
    assert orjson.loads(reply.content) == {
        "error": "More than 4 frames/hour per address",
        "violated-policies": ["frames-hour-address"],
    }
    assert '"requests-hour-address";r=6' in reply["RateLimit"]


def test_request_with_another_method_is_not_charged(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("1 requests/hour per address",))
    assert Client().get("/symbolicate/v5").status_code == 405
    assert post().status_code == 200


def test_request_is_charged_its_frames_after_parsing(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("5 frames/hour per address",))
    assert post(b"{").status_code == 400  # costs no frames
    assert [post().status_code for _ in range(3)] == [200, 200, 429]
    many = orjson.dumps({"memoryMap": [], "stacks": [[[-1, 1]] * 6]})
    reply = post(many)
    assert reply.status_code == 413
    assert orjson.loads(reply.content) == {
        "error": "6 frames at once are more than 5 frames/hour per address"
    }


def test_request_with_a_token_does_not_count_the_address(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("1 requests/hour per address", "3 requests/hour per token"))
    mine = key()
    assert [post().status_code for _ in range(2)] == [200, 429]
    assert [post(token=mine).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert post(token=key()).status_code == 200
    assert post(token="nobody's").status_code == 429


def test_tokens_of_one_user_share_the_limit_of_the_user(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/day per user",))
    tokens = [key(), key(), key(email="eve@example.com")]
    assert [post(token=one).status_code for one in (*tokens, tokens[0])] == [200, 200, 200, 429]


def test_token_of_repeated_requests_is_looked_up_once(
    django_assert_num_queries: pytest_django.DjangoAssertNumQueries,
) -> None:
    mine = key()
    token_owners().find(mine)
    with django_assert_num_queries(0):
        assert post(token=mine).status_code == 200


def test_download_of_a_missing_file_is_charged(runtime_options: Override) -> None:
    runtime_options(limit_download=("2 requests/hour per address",))
    replies = [Client().get(f"/xul.pdb/{DEBUG_ID}/xul.sym") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [404, 404, 429]
    assert [reply["RateLimit"].partition(";t")[0] for reply in replies] == [
        f'"requests-hour-address";r={left}' for left in (1, 0, 0)
    ]
    assert "RateLimit-Policy" in replies[0]["Access-Control-Expose-Headers"]


def test_api_request_is_charged(runtime_options: Override) -> None:
    runtime_options(limit_api=("2 requests/hour per token",))
    mine = key()
    replies = [Client().get("/api/stats/", headers={"Auth-Token": mine}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert "RateLimit" in replies[0]


def test_requests_without_redis_are_open_and_uploads_closed(
    runtime_options: Override, settings: pytest_django.Settings
) -> None:
    runtime_options(limit_symbolicate=("1 requests/hour per address",), limit_upload=("1 GiB/day per user",))
    settings.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    services.discard_all()
    assert [post().status_code for _ in range(3)] == [200, 200, 200]
    assert limits_services.limiter().local
    reply = upload(zipped({f"xul/{DEBUG_ID}/xul.sym": SYMBOLS}))
    assert reply.status_code == 503
    assert "Retry-After" in reply
    assert orjson.loads(reply.content) == {
        "error": "bytes-day-user cannot be counted while redis-cache does not answer"
    }


def upload(archive: bytes, mine: str = "") -> Any:
    named = io.BytesIO(archive)
    named.name = "symbols.zip"
    return Client().post("/upload/", {"symbols.zip": named}, headers={"Auth-Token": mine or key(UPLOAD)})


@pytest.mark.parametrize(
    ("without", "statuses", "outcomes"),
    [
        ("open", [200, 200, 200], {"alone": 3}),
        ("closed", [503, 503, 503], {"closed": 3}),
        ("local", [200, 200, 429], {"alone": 2, "refused": 1}),
        ("", [200, 200, 429], {"allowed": 2, "refused": 1}),
    ],
)
def test_limit_decisions_are_counted_in_metrics(
    runtime_options: Override,
    settings: pytest_django.Settings,
    without: str,
    statuses: list[int],
    outcomes: dict[str, float],
) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    if without:
        runtime_options(limit_symbolicate_without_redis=without)
        settings.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
        services.discard_all()
    before = decisions()
    assert [post().status_code for _ in range(3)] == statuses
    assert {
        name: count - before[name] for name, count in decisions().items() if count > before[name]
    } == outcomes


def decisions() -> dict[str, float]:
    def count(outcome: str) -> float:
        labels = {"scope": "symbolicate", "outcome": outcome}
        return REGISTRY.get_sample_value("tecken_limit_decisions_total", labels) or 0

    return {outcome: count(outcome) for outcome in ("allowed", "refused", "alone", "closed")}


def left(reply: Any) -> int:
    return int(reply["RateLimit"].partition("r=")[2].partition(";")[0])


def test_upload_is_charged_its_length_and_refunded_on_failure(runtime_options: Override) -> None:
    runtime_options(limit_upload=("1000000 bytes/day per user",))
    good = upload(zipped({f"xul/{DEBUG_ID}/xul.sym": SYMBOLS}))
    assert good.status_code == 201, good.content
    sent = 1_000_000 - left(good)
    assert len(zipped({f"xul/{DEBUG_ID}/xul.sym": SYMBOLS})) < sent < 2000
    bad = upload(b"no archive at all" * 1000)
    assert bad.status_code == 400
    again = upload(zipped({f"xul/{DEBUG_ID}/xul.sym": SYMBOLS}))
    assert left(again) == left(good) - sent


def test_chunked_upload_is_charged_its_length(runtime_options: Override) -> None:
    runtime_options(limit_upload=("10000 bytes/hour per address",))

    @rate_limited("upload", upload_cost)
    def receive(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(sum(map(len, stream_body(request, 100_000)))))

    reply = receive(chunked(6000))
    assert (reply.content, left(reply)) == (b"6000", 4000)
    reply = receive(chunked(6000))
    assert (reply.status_code, left(reply)) == (429, 4000)
    reply = receive(chunked(3000))
    assert (reply.content, left(reply)) == (b"3000", 1000)


def chunked(size: int) -> HttpRequest:
    """Return a request as the front makes it, which sets the length when it has read the body."""
    request = RequestFactory().post("/", content_type="application/zip")
    environ = {**request.META, "wsgi.input": io.BytesIO(bytes(size)), "CONTENT_LENGTH": str(size)}
    return WSGIRequest(environ)


def test_direct_upload_is_charged_the_announced_bytes(runtime_options: Override) -> None:
    runtime_options(limit_upload=("1000 bytes/day per token",))
    mine = key(UPLOAD)
    files = [{"key": f"xul/{DEBUG_ID}/xul.sym", "size": 600, "md5_hash": "0" * 32}]
    replies = [
        Client().post("/upload/v2/", {"files": files}, "application/json", headers={"Auth-Token": mine})
        for _ in range(2)
    ]
    assert [reply.status_code for reply in replies] == [201, 429]


def test_usage_counts_what_was_served(parts: redis.Redis, runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    for _ in range(3):
        post()
    mine = key(UPLOAD)
    upload(b"no archive", mine)
    post(token=mine)
    limits_services.usage().flush()
    limits_services.usage().flush()
    (day,) = parts.keys("usage:*")
    number = str(Token.objects.get().pk).encode()
    assert parts.hgetall(day) == {
        b"symbolicate:requests:": b"2",
        b"symbolicate:frames:": b"4",
        b"symbolicate:requests:" + number: b"1",
        b"symbolicate:frames:" + number: b"2",
        b"upload:requests:" + number: b"1",
    }
    (version,) = parts.keys("symbolicationcount:v5:*")
    assert parts.get(version) == b"3"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no:address", "no:address"),
    ],
)
def test_ipv6_address_counts_by_its_first_64_bits(address: str, counted: str) -> None:
    assert caller_of(RequestFactory(REMOTE_ADDR=address).get("/")).address == counted


def test_request_with_a_session_counts_for_the_user(runtime_options: Override) -> None:
    person, request = user(), RequestFactory().get("/")
    request.auth = type("Grant", (), {"user": person, "token": None})()  # type: ignore[attr-defined]
    assert caller_of(request)[1:] == (None, str(person.pk))
    runtime_options(limit_api=("5 requests/hour per user",))
    charge(request, "api", Cost())
    assert request.statuses[0].remaining == 4  # type: ignore[attr-defined]


def test_counters_are_in_their_own_database() -> None:
    assert site.REDIS_COUNTERS_URL.endswith("/3")


def test_request_of_a_user_with_an_exception_has_its_own_limit(runtime_options: Override) -> None:
    ada_key, eve_key = key(), key(email="eve@example.com")
    runtime_options(
        limit_symbolicate=("1 requests/day per user",),
        limit_exceptions=(f"symbolicate 3 requests/day per user {user().pk}",),
    )
    assert [post(token=ada_key).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [post(token=eve_key).status_code for _ in range(2)] == [200, 429]


def test_exception_that_ends_leaves_its_counts_to_the_limit_of_all(runtime_options: Override) -> None:
    ada_key = key()
    runtime_options(limit_symbolicate=("2 requests/day per user",))
    runtime_options(limit_exceptions=(f"symbolicate 9 requests/day per user {user().pk}",))
    assert [post(token=ada_key).status_code for _ in range(3)] == [200, 200, 200]
    runtime_options(limit_exceptions=())
    assert post(token=ada_key).status_code == 429
