from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tecken.accounts.models import Token
from tecken.accounts.tokens import MAX_DAYS, extend, revoke, select_permissions, token_of, tokens_of
from tecken.errors import Forbidden, InvalidInput, NotFound
from tests.accounts.people import key, user

pytestmark = pytest.mark.django_db
MANAGE, UPLOAD = "tokens.manage_tokens", "upload.upload_symbols"
MINUTE = timedelta(minutes=1)


def token(days: float = 1) -> Token:
    key(days=days)
    return Token.objects.get()


def ends_in(found: Token) -> timedelta:
    found.refresh_from_db()
    return found.expires_at - timezone.now()


def test_tokens_of_a_user_exclude_those_of_others() -> None:
    mine = token()
    key(email="bob@example.com")
    assert list(tokens_of(mine.user)) == [mine]
    assert token_of(mine.user, mine.pk) == mine
    for number in (mine.pk + 1, 0):
        with pytest.raises(NotFound, match=r"^Token not found$"):
            token_of(mine.user, number)


def test_selection_of_granted_names_returns_their_permissions() -> None:
    assert {permission.codename for permission in select_permissions([UPLOAD, MANAGE], {UPLOAD, MANAGE})} == {
        "upload_symbols",
        "manage_tokens",
    }


def test_selection_of_a_name_that_is_not_granted_is_refused() -> None:
    with pytest.raises(Forbidden, match=r"^upload.upload_symbols not a valid permission$"):
        select_permissions([MANAGE, UPLOAD], {MANAGE})


def test_selection_of_an_unknown_name_is_invalid() -> None:
    with pytest.raises(InvalidInput, match=r"^No such permission: 'auth.add_user'; there are "):
        select_permissions(["auth.add_user"], {"auth.add_user"})


def test_extension_of_a_valid_token_counts_from_its_expiry() -> None:
    mine = token(days=10)
    extend(mine, 5)
    assert timedelta(15) - MINUTE < ends_in(mine) <= timedelta(15)


def test_extension_of_an_expired_token_counts_from_now() -> None:
    mine = token()
    mine.expires_at = timezone.now() - timedelta(100)
    extend(mine, 5)
    assert timedelta(5) - MINUTE < ends_in(mine) <= timedelta(5)


def test_extension_beyond_the_longest_is_invalid_and_changes_nothing() -> None:
    mine = token(days=10)
    with pytest.raises(InvalidInput, match=f"to {MAX_DAYS} days from now"):
        extend(mine, MAX_DAYS - 9)
    assert ends_in(mine) <= timedelta(10)
    extend(mine, MAX_DAYS - 10)
    assert ends_in(mine) > timedelta(MAX_DAYS) - MINUTE


def test_revoked_token_ends_now_and_an_expired_one_keeps_its_time() -> None:
    mine = token()
    revoke(mine)
    assert -MINUTE < ends_in(mine) <= timedelta(0)
    long_ago = mine.expires_at = timezone.now() - timedelta(100)
    revoke(mine)
    mine.refresh_from_db()
    assert mine.expires_at == long_ago


def test_selection_of_a_user_without_permissions_is_refused() -> None:
    assert select_permissions([], user().get_all_permissions()) == []
