from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    USE_RECORDED_EVERY,
    effective_permissions,
    find,
    find_permissions,
    issue,
    record_use,
)
from tecken.errors import Forbidden, InvalidInput
from tests.accounts.people import key, user

pytestmark = pytest.mark.django_db
MANAGE = "tokens.manage_tokens"
REGULAR, TRY = "upload.upload_symbols", "upload.upload_try_symbols"


def test_find_with_a_key_returns_its_token() -> None:
    token, made = issue(user(MANAGE), list(find_permissions([MANAGE])), days=1, notes="builds")
    assert find(made) == token
    assert (token.notes, token.permissions.get().codename) == ("builds", "manage_tokens")
    assert timedelta(hours=23) < token.expires_at - datetime.now(UTC) <= timedelta(days=1)


def test_find_with_a_comment_after_the_key_ignores_it() -> None:
    made = key(MANAGE)
    assert find(f"{made}-the build-machine") == find(made)


def test_issue_stores_only_the_digest_of_the_key() -> None:
    made = key(MANAGE)
    token = Token.objects.get()
    assert (len(made), token.hint) == (64, made[:8])
    assert token.digest == sha256(made.encode()).hexdigest()
    assert made not in str(vars(token))


def test_issue_twice_returns_different_keys() -> None:
    assert key(MANAGE) != key(MANAGE)


@pytest.mark.parametrize("wrong", ["", "-", "0" * 64, "no key at all", "ключ", "\x00"])
def test_find_with_an_unknown_key_is_refused(wrong: str) -> None:
    made = key(MANAGE)
    for text in (wrong, made[:-1], made + "0", Token.objects.get().digest):
        with pytest.raises(Forbidden, match=r"^API Token not matched$"):
            find(text)


def test_find_with_an_expired_token_is_refused() -> None:
    made = key(MANAGE)
    Token.objects.update(expires_at=datetime.now(UTC))
    with pytest.raises(Forbidden, match=r"^API Token found but expired$"):
        find(made)


def test_find_with_the_token_of_an_inactive_user_is_refused() -> None:
    made = key(MANAGE)
    User.objects.update(is_active=False)
    with pytest.raises(Forbidden, match=r"^API Token matched but user not active$"):
        find(made)


def test_allowed_of_a_token_returns_its_permissions() -> None:
    made = key(REGULAR)
    user(MANAGE)
    assert effective_permissions(find(made)) == {REGULAR}


def test_allowed_after_the_owner_lost_a_permission_omits_it() -> None:
    made = key(MANAGE)
    owner = User.objects.get()
    owner.user_permissions.clear()
    assert effective_permissions(find(made)) == set()
    group = Group.objects.create(name="managers")
    group.permissions.set(find_permissions([MANAGE]))
    owner.groups.add(group)
    assert effective_permissions(find(made)) == {MANAGE}
    group.permissions.clear()
    assert effective_permissions(find(made)) == set()


def test_allowed_of_a_superusers_token_returns_only_its_permissions() -> None:
    owner = User.objects.create_superuser("root@example.com")
    _token, made = issue(owner, list(find_permissions([TRY])), days=1)
    assert effective_permissions(find(made)) == {TRY}


def test_issue_with_a_permission_that_the_user_has_not_is_refused() -> None:
    permission = Permission.objects.get(codename="manage_tokens")
    with pytest.raises(Forbidden, match=r"^Manage Your API Tokens not a valid permission$"):
        issue(user(), [permission], days=1)


def test_issue_with_both_upload_permissions_is_invalid() -> None:
    with pytest.raises(InvalidInput, match=r"^Invalid combination of permissions$"):
        issue(user(REGULAR, TRY), list(find_permissions([REGULAR, TRY])), days=1)


@pytest.mark.parametrize("days", [0, -1])
def test_issue_of_an_expired_token_is_invalid(days: int) -> None:
    with pytest.raises(InvalidInput, match="expire"):
        issue(user(), [], days=days)


def test_record_use_within_some_minutes_writes_once() -> None:
    assert timedelta(minutes=5) == USE_RECORDED_EVERY  # docs/tokens.md
    made = key(MANAGE)
    record_use(find(made))
    first = Token.objects.get().last_used_at
    assert first
    with CaptureQueriesContext(connection) as queries:
        record_use(find(made))
    assert [query["sql"] for query in queries if query["sql"].startswith("UPDATE")] == []
    Token.objects.update(last_used_at=first - USE_RECORDED_EVERY)
    record_use(find(made))
    assert first <= (Token.objects.get().last_used_at or first - USE_RECORDED_EVERY)


def test_record_use_in_several_processes_writes_once() -> None:
    made = key(MANAGE)
    seen = [find(made), find(made)]
    for token in seen:
        record_use(token)
    assert seen[0].last_used_at is seen[1].last_used_at is None
    with CaptureQueriesContext(connection) as queries:
        record_use(seen[0])
    assert "last_used_at" in queries[0]["sql"].split("WHERE")[1]


def test_find_needs_few_queries() -> None:
    made = key(MANAGE)
    with CaptureQueriesContext(connection) as queries:
        effective_permissions(find(made))
    assert len(queries) <= 4
