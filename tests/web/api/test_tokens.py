"""/api/tokens/: one's own tokens, never more than one's own permissions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tecken.accounts.models import Token
from tecken.accounts.tokens import effective_permissions, find, find_permissions, issue
from tecken.errors import Forbidden
from tests.web.api.people import key_of, person

pytestmark = pytest.mark.django_db

ALL = ("tokens.manage_tokens", "upload.upload_symbols", "upload.view_all_uploads")


def asks(key: str) -> dict[str, str]:
    return {"Auth-Token": key}


def test_token_new_shows_key_once_and_works(client: Client) -> None:
    headers = asks(key_of(person("a@example.com", *ALL)))
    wanted = {"permissions": ["upload.upload_symbols"], "days": 10, "notes": "nightly"}
    reply = client.post("/api/tokens/", wanted, content_type="application/json", headers=headers)
    assert reply.status_code == 201
    made = reply.json()
    token = find(made["key"])
    assert made["token"] == {
        "id": token.pk,
        "hint": made["key"][:8],
        "permissions": ["upload.upload_symbols"],
        "expires_at": made["token"]["expires_at"],
        "is_expired": False,
        "notes": "nightly",
        "created_at": made["token"]["created_at"],
        "last_used_at": None,
        "rotated_to_id": None,
    }
    assert timedelta(days=9) < token.expires_at - timezone.now() <= timedelta(days=10)
    assert made["key"] not in client.get("/api/tokens/", headers=headers).content.decode()


@pytest.mark.parametrize(
    ("state", "shown"), [("active", [False]), ("expired", [True]), ("all", [False, True])]
)
def test_tokens_are_listed_by_state(client: Client, state: str, shown: list[bool]) -> None:
    user = person("a@example.com", *ALL)
    headers = asks(key_of(user, "tokens.manage_tokens"))
    old, _key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=1)
    Token.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(days=1))
    key_of(person("b@example.com", *ALL))
    listed = client.get("/api/tokens/", {"state": state}, headers=headers).json()
    assert sorted(token["is_expired"] for token in listed["tokens"]) == shown
    assert listed["totals"] == {"all": 2, "active": 1, "expired": 1}
    assert listed["permissions"] == ["tokens.manage_tokens"], "a token gives no more than it has"


def test_extend_counts_from_expiry(client: Client) -> None:
    user = person("a@example.com", *ALL)
    token, key = issue(user, list(find_permissions(["tokens.manage_tokens"])), days=10)
    url = f"/api/tokens/token/{token.pk}/extend"
    reply = client.post(url, {"days": 5}, content_type="application/json", headers=asks(key))
    assert reply.status_code == 200
    assert Token.objects.get(pk=token.pk).expires_at == token.expires_at + timedelta(days=5)


def test_extend_expired_counts_from_now(client: Client) -> None:
    user = person("a@example.com", *ALL)
    headers = asks(key_of(user))
    token, key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=10)
    Token.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(days=100))
    client.post(f"/api/tokens/token/{token.pk}/extend", {}, content_type="application/json", headers=headers)
    assert find(key).expires_at > timezone.now() + timedelta(days=364)


def test_token_extend_of_one_that_may_do_more_is_403(client: Client) -> None:
    """Else the bearer of a token could bring back one that its owner has let expire."""
    user = person("a@example.com", *ALL)
    strong, _key = issue(user, list(find_permissions(["upload.view_all_uploads"])), days=2)
    url = f"/api/tokens/token/{strong.pk}/extend"
    headers = asks(key_of(user, "tokens.manage_tokens"))
    reply = client.post(url, {"days": 5}, content_type="application/json", headers=headers)
    assert (reply.status_code, Token.objects.get(pk=strong.pk).expires_at) == (403, strong.expires_at)
    strongest = asks(key_of(user, *ALL))
    assert (
        client.post(url, {"days": 5}, content_type="application/json", headers=strongest).status_code == 200
    )


def test_token_deleted_is_rejected_at_once(client: Client) -> None:
    user = person("a@example.com", *ALL)
    token, key = issue(user, list(find_permissions(["tokens.manage_tokens"])), days=10)
    assert client.delete(f"/api/tokens/token/{token.pk}", headers=asks(key)).status_code == 204
    reply = client.get("/api/tokens/", headers=asks(key))
    assert (reply.status_code, reply.json()["error"]) == (403, "API Token not matched")


@pytest.mark.parametrize("method", ["post", "delete"])
def test_token_of_other_user_is_not_found(client: Client, method: str) -> None:
    other = issue(person("b@example.com", *ALL), [], days=10)[0]
    url = f"/api/tokens/token/{other.pk}" + ("/extend" if method == "post" else "")
    headers = asks(key_of(person("a@example.com", *ALL)))
    reply = getattr(client, method)(url, {}, content_type="application/json", headers=headers)
    assert (reply.status_code, reply.json()) == (404, {"error": "Token not found", "path": url})
    assert Token.objects.filter(pk=other.pk).exists()


@pytest.mark.parametrize(
    ("wanted", "status", "text"),
    [
        ({"permissions": ["upload.view_all_uploads"]}, 403, "upload.view_all_uploads not a valid permission"),
        (
            {"permissions": ["upload.upload_try_symbols"]},
            403,
            "upload.upload_try_symbols not a valid permission",
        ),
        ({"permissions": ["auth.add_user"]}, 400, "No such permission: 'auth.add_user'"),
        ({"permissions": []}, 400, "permissions: List should have at least 1 item"),
        ({}, 400, "permissions: Field required"),
        (
            {"permissions": ["tokens.manage_tokens"], "days": 0},
            400,
            "days: Input should be greater than or equal to 1",
        ),
    ],
)
def test_token_with_invalid_fields_is_400(client: Client, wanted: object, status: int, text: str) -> None:
    user = person("a@example.com", "upload.view_all_uploads", "tokens.manage_tokens")
    headers = asks(key_of(user, "tokens.manage_tokens"))
    reply = client.post("/api/tokens/", wanted, content_type="application/json", headers=headers)
    assert reply.status_code == status
    assert reply.json()["error"].startswith(text)


def test_token_for_regular_and_try_is_400(client: Client) -> None:
    uploads = ["upload.upload_symbols", "upload.upload_try_symbols"]
    user = person("a@example.com", "tokens.manage_tokens", *uploads)
    client.force_login(user)
    reply = client.post("/api/tokens/", {"permissions": uploads}, content_type="application/json")
    assert (reply.status_code, reply.json()["error"]) == (400, "Invalid combination of permissions")


def test_tokens_without_permission_are_forbidden(client: Client) -> None:
    headers = asks(key_of(person("a@example.com", "upload.upload_symbols")))
    reply = client.get("/api/tokens/", headers=headers)
    assert (reply.status_code, reply.json()) == (
        403,
        {"error": "This needs the permission tokens.manage_tokens"},
    )
    assert {"Auth-Token", "Cookie"} <= {name.strip() for name in reply["Vary"].split(",")}


def test_tokens_without_token_are_forbidden(client: Client) -> None:
    reply = client.get("/api/tokens/")
    assert reply.status_code == 403
    assert reply.json() == {"error": "This requires an Auth-Token to authenticate the request"}
    assert User.objects.count() == 0


def rotated(client: Client, headers: dict[str, str], token: Token, **body: object) -> Any:
    path = f"/api/tokens/token/{token.pk}/rotate"
    return client.post(path, body, content_type="application/json", headers=headers)


def test_token_rotate_makes_an_equal_one_and_ends_the_old_one_later(client: Client) -> None:
    user = person("a@example.com", *ALL)
    old, _key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=30, notes="nightly")
    reply = rotated(client, asks(key_of(user)), old)
    assert (reply.status_code, reply["Cache-Control"]) == (201, "no-store")
    new = find(reply.json()["key"])
    old.refresh_from_db()
    assert (old.rotated_to, new.notes, new.user) == (new, "nightly", user)
    assert effective_permissions(new) == {"upload.upload_symbols"}
    assert timedelta(days=29) < new.expires_at - timezone.now() <= timedelta(days=30)
    assert timedelta(hours=23) < old.expires_at - timezone.now() <= timedelta(days=1)
    assert reply.json()["token"]["rotated_to_id"] is None


def test_token_rotate_without_overlap_ends_the_old_one_now(client: Client) -> None:
    user = person("a@example.com", *ALL)
    old, key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=30)
    assert rotated(client, asks(key_of(user)), old, overlap_days=0).status_code == 201
    with pytest.raises(Forbidden, match="expired"):
        find(key)


def test_token_rotate_longer_than_its_life_keeps_its_end(client: Client) -> None:
    user = person("a@example.com", *ALL)
    old, _key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=2)
    rotated(client, asks(key_of(user)), old, overlap_days=90)
    assert Token.objects.get(pk=old.pk).expires_at == old.expires_at


def test_token_rotate_twice_or_after_its_end_is_400(client: Client) -> None:
    user = person("a@example.com", *ALL)
    headers = asks(key_of(user))
    old, _key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=2)
    assert rotated(client, headers, old).status_code == 201
    reply = rotated(client, headers, old)
    assert reply.status_code == 400
    assert "was rotated already" in reply.json()["error"]
    ended, _key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=2)
    Token.objects.filter(pk=ended.pk).update(expires_at=timezone.now() - timedelta(days=1))
    assert "has ended" in rotated(client, headers, ended).json()["error"]


def test_token_rotate_of_one_that_may_do_more_is_403(client: Client) -> None:
    """Else the bearer of a token could give itself all that its owner may do."""
    user = person("a@example.com", *ALL)
    strong, _key = issue(user, list(find_permissions(["upload.view_all_uploads"])), days=2)
    reply = rotated(client, asks(key_of(user, "tokens.manage_tokens")), strong)
    assert (reply.status_code, Token.objects.get(pk=strong.pk).rotated_to) == (403, None)
    assert rotated(client, asks(key_of(user, *ALL)), strong).status_code == 201


def test_token_rotate_of_another_user_is_404(client: Client) -> None:
    other, _key = issue(
        person("b@example.com", *ALL), list(find_permissions(["upload.upload_symbols"])), days=2
    )
    headers = asks(key_of(person("a@example.com", *ALL)))
    assert rotated(client, headers, other).status_code == 404


@pytest.mark.parametrize("days", [-1, 91, "x", 1.5])
def test_token_rotate_with_bad_overlap_is_400(client: Client, days: object) -> None:
    user = person("a@example.com", *ALL)
    old, _key = issue(user, list(find_permissions(["upload.upload_symbols"])), days=2)
    assert rotated(client, asks(key_of(user)), old, overlap_days=days).status_code == 400
    assert Token.objects.get(pk=old.pk).rotated_to is None
