"""Page of usage: who sees what, the ranking, its bounds, and exceptions to limits."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from tecken import services
from tecken.accounts.models import Token
from tecken.limits.models import ALL_TOKENS, Usage, utc_today
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import service
from tests.support.options import Override
from tests.support.redis_server import free_port
from tests.web.api.people import key_of, person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]
DASH = "\N{EN DASH}"
VIEW, CHANGE = "limits.view_usage", "runtimeconfig.change_option"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    services.discard_all()
    yield
    services.discard_all()


@pytest.fixture
def operator(client: Client) -> User:
    user = person("op@example.com", VIEW, CHANGE)
    client.force_login(user)
    return user


def token_of(email: str, notes: str = "") -> Token:
    key_of(person(email))
    token = Token.objects.get(user__email=email)
    Token.objects.filter(pk=token.pk).update(notes=notes)
    return token


def used(token: int, requests: int = 0, frames: int = 0, size: int = 0, day: date | None = None) -> None:
    """Count this on `day`; today if there is none."""
    for what, unit, amount in (
        ("symbolicate", "requests", requests),
        ("symbolicate", "frames", frames),
        ("upload", "bytes", size),
    ):
        for owner in (token, ALL_TOKENS) if amount else ():
            row, _new = Usage.objects.get_or_create(
                day=day or utc_today(), what=what, unit=unit, token=owner, defaults={"amount": 0}
            )
            Usage.objects.filter(pk=row.pk).update(amount=row.amount + amount)


def shown(client: Client, query: str = "", status: int = 200) -> str:
    reply = client.get(f"/usage/{query}")
    assert reply.status_code == status
    return reply.content.decode()


def rows(page: str) -> list[list[str]]:
    """Return the texts of the cells of the ranking."""
    table = re.search(r'<table class="rows usage">.*?</table>', page, re.DOTALL)
    found = re.findall(r"<tr>\s*(<th scope=\"row\">.*?)</tr>", table[0], re.DOTALL) if table else []
    cells = (re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in found)
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def test_usage_of_tokens_is_ranked_with_shares(client: Client, operator: User) -> None:
    ada, eve = token_of("ada@example.com", "nightly"), token_of("eve@example.com")
    used(ada.pk, requests=30, frames=500)
    used(eve.pk, requests=60)
    used(0, requests=10, size=2_000_000)
    page = shown(client)
    assert rows(page) == [
        [f"{eve} eve@example.com", "60", "0", "0 B", "60.0 %", "no limit"],
        [f"{ada} ada@example.com", "30", "500", "0 B", "30.0 %", "no limit"],
        ["without a token", "10", "0", "2.0 MB", "10.0 %", ""],
    ]
    assert "<strong>100</strong> requests" in page
    assert "Symbolication <strong>100</strong>" in page
    assert [row[0] for row in rows(shown(client, "?sort=bytes&reverse=true"))] == ["without a token"]


def test_usage_of_users_adds_up_their_tokens(client: Client, operator: User) -> None:
    ada = token_of("ada@example.com")
    key_of(ada.user)
    for number, token in enumerate(Token.objects.filter(user=ada.user), 1):
        used(token.pk, requests=number, frames=4)
    used(0, requests=7)
    assert rows(shown(client, "?by=users")) == [
        ["without a user", "7", DASH, DASH, "70.0 %", ""],
        ["ada@example.com", "3", "8", "0 B", "30.0 %", "no limit"],
    ]


def test_usage_of_a_period_has_its_days_only(client: Client, operator: User) -> None:
    ada = token_of("ada@example.com")
    used(ada.pk, requests=1)
    used(ada.pk, requests=10, day=utc_today() - timedelta(6))
    used(ada.pk, requests=100, day=utc_today() - timedelta(7))
    used(ada.pk, requests=1000, day=date(2025, 2, 28))
    assert rows(shown(client, "?period=7"))[0][1] == "11"
    assert rows(shown(client, "?period=30"))[0][1] == "111"
    assert rows(shown(client, "?period=2025-02"))[0][1] == "1,000"
    assert rows(shown(client, "?period=2025-03")) == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("?period=8", "&#x27;8&#x27; is not 7, 30, 90 or a month such as 2026-11"),
        ("?period=2026-13", "is not 7, 30, 90 or a month"),
        ("?period=9999-12", "is not 7, 30, 90 or a month"),
        ("?sort=token", "is none of requests, frames, bytes"),
        ("?by=addresses", "by: Input should be"),
        ("?kind=x", "kind: Input should be"),
        ("?q=%00", "NUL"),
        ("?page=201", "page: Input should be"),
    ],
)
def test_usage_with_a_bad_parameter_shows_the_problem(
    client: Client, operator: User, query: str, problem: str
) -> None:
    assert problem in shown(client, query, 400)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=ada@", ["ada"]),
        # Notes are private.
        ("q=nightly", []),
        ("q=EVE@", ["eve"]),
        ("q=zzz", []),
        ("by=users&q=ada", ["ada"]),
        ("kind=symbolicate", ["ada", "eve"]),
        ("kind=download", []),
    ],
)
def test_usage_search_finds_owners(client: Client, operator: User, query: str, expected: list[str]) -> None:
    used(token_of("ada@example.com", "nightly").pk, requests=2)
    used(token_of("eve@example.com").pk, requests=1)
    found = [row[0] for row in rows(shown(client, f"?{query}"))]
    assert [re.search(r"(\w+)@", name)[1] for name in found] == expected  # type: ignore[index]


def test_usage_with_a_refused_search_keeps_the_period(client: Client, operator: User) -> None:
    assert 'name="period" value="90"' in shown(client, "?period=90&q=%00", 400)


def test_usage_of_deleted_tokens_stays(client: Client, operator: User) -> None:
    used(999, requests=5)
    assert rows(shown(client))[0][:2] == ["deleted token 999", "5"]
    assert rows(shown(client, "?by=users"))[0][:2] == ["without a user", "5"]


def test_usage_of_many_tokens_has_pages_and_few_queries(
    client: Client, operator: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    ada = token_of("ada@example.com")
    tokens = Token.objects.bulk_create(
        Token(user=ada.user, digest=str(n), hint=str(n), expires_at=ada.expires_at) for n in range(120)
    )
    for number, token in enumerate(tokens, start=1):
        used(token.pk, requests=number)
    with django_assert_max_num_queries(12):
        page = shown(client)
    assert len(rows(page)) == 50
    assert "120 tokens" in page
    assert len(rows(shown(client, "?page=3"))) == 20
    assert rows(shown(client, "?sort=requests"))[0][1] == "1"


def test_usage_shows_the_nearest_limit(client: Client, operator: User, runtime_options: Override) -> None:
    ada = token_of("ada@example.com")
    used(ada.pk, requests=1)
    runtime_options(
        limit_symbolicate=("10 requests/day per token",),
        limit_upload=("2 GiB/day per token", "4 GiB/day per user"),
        limit_exceptions=(f"symbolicate 40 requests/day per token {ada.pk}",),
    )
    name = f"limits:quota:day:{utc_today():%Y%m%d}"
    counters = redis_services.counters_client()
    counters.hset(name, f"symbolicate:token:{ada.pk}:requests", 10)
    counters.hset(name, f"upload:token:{ada.pk}:bytes", 2 << 30)
    counters.hset(name, f"upload:user:{ada.user_id}:bytes", 1 << 30)
    assert rows(shown(client))[0][5] == "upload: 100.0 % of 2 GiB/day per token"
    assert rows(shown(client, "?by=users"))[0][5] == "upload: 25.0 % of 4 GiB/day per user"
    page = client.get(f"/usage/tokens/{ada.pk}/").content.decode()
    assert "25.0 % of 40 requests/day per token" in page
    assert 'class="tag">exception' in page


def test_usage_without_redis_shows_counts_and_no_limits(
    client: Client, operator: User, runtime_options: Override, settings: Settings
) -> None:
    used(token_of("ada@example.com").pk, requests=1)
    runtime_options(limit_symbolicate=("10 requests/day per token",))
    settings.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    services.discard_all()
    assert rows(shown(client))[0][1::4] == ["1", "not known"]


def test_usage_as_csv_has_harmless_cells(client: Client, operator: User) -> None:
    used(token_of("=ada@example.com").pk, requests=3, frames=4)
    reply = client.get("/usage/?format=csv")
    assert reply["Content-Type"] == "text/csv; charset=utf-8"
    heading, row = csv.reader(reply.content.decode().splitlines())
    assert heading[3:6] == ["requests", "frames", "bytes"]
    assert row[2:7] == ["'=ada@example.com", "3", "4", "0", "1.0000"]


# Other users


def test_usage_of_a_user_without_permission_is_their_own(client: Client) -> None:
    ada, eve = token_of("ada@example.com", "nightly"), token_of("eve@example.com", "weekly")
    used(ada.pk, requests=5)
    used(eve.pk, requests=70)
    client.force_login(ada.user)
    page = shown(client)
    assert "Your usage" in page
    assert "<strong>5</strong> requests" in page
    assert "nightly" in page
    assert "eve@" not in page
    assert "Exceptions" not in page
    assert client.get(f"/usage/tokens/{ada.pk}/").status_code == 200
    for path in (f"/usage/tokens/{eve.pk}/", f"/usage/users/{eve.user_id}/", f"/usage/users/{10**30}/"):
        assert client.get(path).status_code == 404


def test_tokens_page_links_to_the_usage_of_each(client: Client) -> None:
    ada = token_of("ada@example.com")
    client.force_login(ada.user)
    assert f'href="/usage/tokens/{ada.pk}/"' in client.get("/tokens/").content.decode()


# Exceptions


def exception(owner: int, **fields: object) -> dict[str, object]:
    values = {"by": "users", "number": owner, "scope": "upload", "quantity": 100, "unit": "GiB"}
    return {**values, "window": "day", "until": "", "why": "moves an archive", **fields}


def post(client: Client, form: dict[str, object]) -> Any:
    return client.post("/usage/exceptions/", form, headers={"Origin": "http://testserver"})


def stored() -> str:
    return str(service.newest().values.get("limit_exceptions", ""))


def test_exception_is_added_shown_replaced_and_removed(client: Client, operator: User) -> None:
    ada, today = token_of("ada@example.com"), utc_today()
    reply = post(client, exception(ada.user_id))
    assert reply["Location"] == f"/usage/users/{ada.user_id}/#exceptions"
    first = f"upload 100 GiB/day per user {ada.user_id}"
    assert stored() == first
    page = shown(client)
    assert "moves an archive" in page
    assert "op@example.com (page)" in page
    post(client, exception(ada.pk, by="tokens", unit="requests", quantity=5, until=f"{today}"))
    post(client, exception(ada.user_id, quantity=200))
    second = f"upload 5 requests/day per token {ada.pk} until {today}"
    assert stored() == f"{second}, upload 200 GiB/day per user {ada.user_id}"
    assert post(client, {"do": "remove", "exception": second, "why": ""}).status_code == 302
    assert stored() == f"upload 200 GiB/day per user {ada.user_id}"
    assert service.newest().why == f"{second} removed"
    assert post(client, {"do": "remove", "exception": second}).status_code == 400


def test_exception_that_is_over_is_marked_and_removed_with_the_next(client: Client, operator: User) -> None:
    ada = token_of("ada@example.com")
    text = f"api 1 requests/day per user {ada.user_id} until 2026-01-01"
    service.change({"limit_exceptions": text}, by="ada", source="cli")
    assert '<span class="tag bad">over</span>' in shown(client)
    post(client, exception(ada.user_id))
    assert stored() == f"upload 100 GiB/day per user {ada.user_id}"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"quantity": "many"}, "is not like"),
        ({"quantity": 0}, "would allow nothing"),
        ({"scope": "api"}, "only requests of api are counted, no bytes"),
        ({"until": "2020-01-01"}, "The last day should be today or later"),
        ({"until": "soon"}, "is not a day"),
        ({"why": ""}, "Write the reason"),
        ({"scope": "api,x", "unit": "x, y"}, "is none of"),
    ],
)
def test_exception_with_bad_input_is_refused_and_the_form_kept(
    client: Client, operator: User, fields: dict[str, object], problem: str
) -> None:
    ada = token_of("ada@example.com")
    reply = post(client, exception(ada.user_id, **fields))
    assert reply.status_code == 400
    page = reply.content.decode()
    assert problem in page
    assert str({**exception(0), **fields}["quantity"]) in page
    assert stored() == ""


@pytest.mark.parametrize("number", ["999999", "x", "-1", "9" * 40])
def test_exception_of_an_unknown_user_is_not_found(client: Client, operator: User, number: str) -> None:
    assert post(client, exception(0, number=number)).status_code == 404


def test_exceptions_with_an_invalid_text_show_the_problem(client: Client, operator: User) -> None:
    service.change({"limit_exceptions": "api 1 requests/day per user 1"}, by="ada", source="cli")
    newest = service.newest()
    newest.values["limit_exceptions"] = "nonsense"
    newest.save()
    assert "&#x27;nonsense&#x27; is not like" in shown(client)


def test_exceptions_need_both_permissions(client: Client) -> None:
    for permissions in ((), (VIEW,), (CHANGE,)):
        client.force_login(person(f"x{len(permissions)}{permissions[:1]}@example.com", *permissions))
        assert post(client, exception(1)).status_code == 403
