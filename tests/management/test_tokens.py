"""`manage.py tokens`: list, revoke, extend and rotate."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tecken.accounts.models import Token
from tecken.accounts.tokens import find, find_permissions, issue
from tecken.errors import Forbidden
from tests.web.api.people import person

pytestmark = pytest.mark.django_db
UPLOAD = "upload.upload_symbols"


def run(*arguments: object, stderr: io.StringIO | None = None) -> str:
    out = io.StringIO()
    call_command("tokens", *map(str, arguments), stdout=out, stderr=stderr or io.StringIO())
    return out.getvalue()


def made(email: str = "ada@example.com", days: float = 30, notes: str = "") -> tuple[Token, str]:
    user = person(f"{len(notes)}{email}", UPLOAD)
    return issue(user, list(find_permissions([UPLOAD])), days, notes)


def ended(token: Token) -> None:
    Token.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(days=1))


def listed(*arguments: str) -> list[int]:
    return [row["id"] for row in json.loads(run("list", "--json", *arguments))]


def test_list_shows_a_line_of_each_token() -> None:
    token, key = made(notes="nightly\x1b[31m")
    line = run("list")
    assert line.startswith(f"{token.pk:>6} {token.hint}... {token.user.email} {UPLOAD} ends ")
    assert line.endswith('never used: "nightly\\u001b[31m"\n')
    assert key not in line


def test_list_filters_by_user_state_and_use() -> None:
    (first, _), (second, _) = made(), made(notes="b")
    assert listed() == [second.pk, first.pk]
    assert listed("--user", first.user.email.upper()) == [first.pk]
    ended(second)
    assert (listed(), listed("--state", "expired"), listed("--state", "all")) == (
        [first.pk],
        [second.pk],
        [second.pk, first.pk],
    )
    assert listed("--unused", "0") == [first.pk]
    assert listed("--unused", "1") == []
    assert run("list", "--unused", 1) == ""


def test_list_as_json_has_no_key() -> None:
    token, key = made(notes="nightly")
    text = run("list", "--json")
    assert json.loads(text) == [
        {
            "id": token.pk,
            "hint": token.hint,
            "user": token.user.email,
            "permissions": [UPLOAD],
            "expires_at": token.expires_at.isoformat(),
            "is_expired": False,
            "created_at": token.created_at.isoformat(),
            "last_used_at": None,
            "rotated_to": None,
            "notes": "nightly",
        }
    ]
    assert key not in text


def test_revoke_by_number_ends_these() -> None:
    (token, key), (other, _) = made(), made(notes="b")
    assert run("revoke", token.pk).startswith(f"{token.pk:>6} ")
    with pytest.raises(Forbidden, match="expired"):
        find(key)
    assert not Token.objects.get(pk=other.pk).is_expired


def test_revoke_by_user_ends_all_of_the_user() -> None:
    (token, _), (other, _) = made(), made(notes="b")
    issue(token.user, list(find_permissions([UPLOAD])), 5)
    assert len(json.loads(run("revoke", "--user", token.user.email, "--json"))) == 2
    assert listed() == [other.pk]


def test_extend_adds_days_to_all_or_none() -> None:
    (token, _), (other, _) = made(), made(days=3640, notes="b")
    run("extend", token.pk, "--days", 5)
    assert Token.objects.get(pk=token.pk).expires_at == token.expires_at + timedelta(days=5)
    with pytest.raises(CommandError, match="A token can be extended to 3650 days from now"):
        run("extend", token.pk, other.pk, "--days", 100)
    assert Token.objects.get(pk=token.pk).expires_at == token.expires_at + timedelta(days=5)


def test_rotate_prints_only_the_key() -> None:
    token, _key = made(notes="nightly")
    stderr = io.StringIO()
    out = run("rotate", token.pk, "--overlap-days", 0, stderr=stderr)
    new = find(out.removesuffix("\n"))
    assert (new.notes, Token.objects.get(pk=token.pk).rotated_to) == ("nightly", new)
    assert f"token {new.pk} takes the place of token {token.pk}, which has ended" in stderr.getvalue()


def test_rotate_as_json_has_key_and_token() -> None:
    token, _key = made()
    answer = json.loads(run("rotate", token.pk, "--json"))
    assert find(answer["key"]).pk == answer["token"]["id"] != token.pk


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("revoke", 99), "There is no token 99"),
        (("revoke", 2**70), "There is no token"),
        (("revoke",), "Name either the numbers of tokens, or --user EMAIL"),
        (("revoke", 1, "--user", "a@example.com"), "Name either the numbers"),
        (("list", "--user", "nobody@example.com"), "There is no user nobody@example.com"),
        (("list", "--unused", 10**12), "--unused must be from 0 to 3650"),
        (("extend", 99), "There is no token 99"),
        (("extend", 1, "--days", 10**12), "--days must be from 1 to 3650"),
        (("rotate", 99), "There is no token 99"),
        (("rotate", 1, "--overlap-days", 91), "--overlap-days must be from 0 to 90"),
    ],
)
def test_bad_arguments_end_with_an_error(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        run(*arguments)


def test_rotate_of_ended_token_is_an_error() -> None:
    token, _key = made()
    ended(token)
    with pytest.raises(CommandError, match="has ended: extend it first"):
        run("rotate", token.pk)
