from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tecken.accounts.models import Token
from tecken.accounts.tokens import TokenOwner, TokenOwners, token_owners
from tests.accounts.people import key

pytestmark = pytest.mark.django_db
UNKNOWN = "0" * 64


@contextmanager
def database_away() -> Iterator[None]:
    def fail(execute: Callable[..., Any], *query: Any) -> NoReturn:
        raise OperationalError("away")

    with connection.execute_wrapper(fail):
        yield


def test_token_owners_of_a_valid_key_have_the_owner_and_record_the_use() -> None:
    made = key()
    token = Token.objects.get()
    assert TokenOwners().find(made) == TokenOwner(token.pk, str(token.user_id))
    token.refresh_from_db()
    assert token.last_used_at is not None


def test_token_owners_of_an_unknown_key_are_none() -> None:
    assert TokenOwners().find(UNKNOWN) is None


def test_token_owners_of_a_cached_key_need_no_query() -> None:
    made, known = key(), TokenOwners()
    answers = [known.find(made), known.find(UNKNOWN)]
    with CaptureQueriesContext(connection) as queries:
        assert [known.find(made), known.find(UNKNOWN)] == answers
    assert len(queries) == 0


def test_token_owners_without_database_are_none_and_not_cached(caplog: pytest.LogCaptureFixture) -> None:
    made, known = key(), TokenOwners()
    with database_away():
        assert known.find(made) is None
    assert "Cannot find the owner of a token: away" in caplog.text
    assert known.find(made) is not None


def test_token_owners_of_a_process_are_one_object() -> None:
    assert token_owners() is token_owners()
