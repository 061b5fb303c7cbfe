from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_django
import redis
from django.test import Client

from tecken import services
from tecken.accounts.models import Token
from tecken.limits.models import Usage, utc_today
from tecken.redisclient import services as redis_services
from tests.support.options import Override
from tests.support.quiet_usage import quiet_usage
from tests.support.redis_server import free_port
from tests.web.api.people import key_of, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def counters(monkeypatch: pytest.MonkeyPatch, clear_redis_cache: None) -> Iterator[redis.Redis]:
    services.discard_all()
    quiet_usage(monkeypatch, redis_services.counters_client())
    yield redis_services.counters_client()
    services.discard_all()


def usage(key: str, **query: Any) -> Any:
    return Client().get("/api/usage/", query, headers={"Auth-Token": key})


def rows(reply: Any) -> list[tuple[str, str, int, int]]:
    return [(row["what"], row["unit"], row["token"], row["amount"]) for row in reply.json()["usage"]]


def test_usage_merges_stored_and_recent_days(counters: redis.Redis) -> None:
    ada, eve = person("ada@example.com"), person("eve@example.com")
    keys = [key_of(ada), key_of(eve)]
    mine, other = (Token.objects.get(user=one).pk for one in (ada, eve))
    today = utc_today()
    for token in (mine, other, 0):
        counters.hset(f"usage:{today:%Y%m%d}", f"symbolicate:frames:{token or ''}", 5)
        Usage.objects.create(
            day=today - timedelta(1), what="download", unit="requests", token=token, amount=2
        )
    Usage.objects.create(day=today, what="symbolicate", unit="frames", token=mine, amount=3)
    reply = usage(keys[0])
    assert reply.status_code == 200
    assert rows(reply) == [("download", "requests", mine, 2), ("symbolicate", "frames", mine, 5)]
    assert set(reply.json()) == {"usage", "complete", "limits", "decided_alone"}
    assert reply.json()["complete"]
    assert rows(usage(keys[0], token=other)) == []
    assert rows(usage(keys[0], first=today)) == [("symbolicate", "frames", mine, 5)]
    assert rows(usage(keys[0], last=today - timedelta(1))) == [("download", "requests", mine, 2)]


def test_usage_with_permission_shows_all_tokens(counters: redis.Redis) -> None:
    counters.set(f"symbolicationcount:v5:{utc_today():%Y%m%d}", 4)
    auditor = key_of(person("op@example.com", "limits.view_usage"))
    assert ("v5", "requests", 0, 4) in rows(usage(auditor))
    assert rows(usage(key_of(person("ada@example.com")))) == []


def test_limits_show_remaining_quantities(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("10 frames/hour per token",), limit_upload=("2 KiB/month per user",))
    standings = usage(key_of(person("ada@example.com"))).json()["limits"]
    assert [one.pop("reset") >= 0 for one in standings] == [True, True]
    frames, size = standings
    assert frames == {
        "scope": "symbolicate",
        "policy": "frames-hour-token",
        "unit": "frames",
        "quantity": 10,
        "window": "hour",
        "whose": "token",
        "remaining": 10,
    }
    assert (size["window"], size["quantity"], size["remaining"]) == ("month", 2048, 2048)


def test_usage_redis_down_is_incomplete(settings: pytest_django.Settings, runtime_options: Override) -> None:
    runtime_options(limit_upload=("2 KiB/month per user",))
    settings.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    services.discard_all()
    answer = usage(key_of(person("ada@example.com"))).json()
    assert answer == {"usage": [], "complete": False, "limits": [], "decided_alone": True}


@pytest.mark.parametrize(("first", "last"), [("2026-01-02", "2026-01-01"), ("2024-01-01", "2026-01-01")])
def test_usage_with_invalid_period_is_400(first: str, last: str) -> None:
    reply = usage(key_of(person("ada@example.com")), first=first, last=last)
    assert reply.status_code == 400
    assert reply.json() == {"error": "first and last: at most 366 days, in this order"}


def test_usage_without_token_is_forbidden() -> None:
    assert Client().get("/api/usage/").status_code == 403


def top(key: str, **query: Any) -> Any:
    return Client().get("/api/usage/top/", query, headers={"Auth-Token": key})


def test_ranking_has_owners_shares_and_limits(runtime_options: Override) -> None:
    runtime_options(limit_api=("10 requests/day per token",))
    auditor = key_of(person("op@example.com", "limits.view_usage"))
    token = Token.objects.get(user__email="op@example.com")
    Usage.objects.create(day=utc_today(), what="api", unit="requests", token=token.pk, amount=6)
    Usage.objects.create(day=utc_today(), what="download", unit="requests", token=0, amount=2)
    reply = top(auditor).json()
    assert (reply["total"], reply["has_next"], reply["next"]) == (2, False, None)
    first, rest = reply["ranking"]
    assert first == {
        "number": token.pk,
        "name": str(token),
        "user": "op@example.com",
        "amounts": {"requests": 6, "frames": 0, "bytes": 0},
        "share": 0.75,
        "limits": [
            {"scope": "api", "text": "10 requests/day per token", "share": 0.1, "is_exception": False}
        ],
    }
    assert (rest["number"], rest["name"], rest["limits"]) == (0, "without a token", [])
    assert [row["number"] for row in top(auditor, kind="download").json()["ranking"]] == [0]
    assert [row["name"] for row in top(auditor, by="users").json()["ranking"]] == [
        "op@example.com",
        "without a user",
    ]


@pytest.mark.parametrize("query", [{"period": "8"}, {"sort": "name"}, {"by": "x"}, {"page": 201}])
def test_ranking_with_a_bad_parameter_is_refused(query: dict[str, Any]) -> None:
    assert top(key_of(person("op@example.com", "limits.view_usage")), **query).status_code in (400, 422)


def test_ranking_needs_the_permission() -> None:
    assert top(key_of(person("ada@example.com"))).status_code == 403
