"""/tokens/: one's own tokens, with a browser that runs no scripts."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tecken.accounts import tokens
from tecken.accounts.models import Token
from tecken.accounts.tokens import effective_permissions, find, find_permissions, issue
from tecken.errors import Forbidden
from tests.web.api.people import person
from tests.web.forms import Forms, form_of

pytestmark = pytest.mark.django_db

URL = "/tokens/"
UPLOADS = ("upload.upload_symbols", "upload.upload_try_symbols")


@pytest.fixture
def owner(client: Client) -> User:
    user = person("a@example.com", tokens.MANAGE, *UPLOADS)
    client.force_login(user)
    return user


def made_by(user: User, days: float = 30, notes: str = "") -> tuple[Token, str]:
    return issue(user, list(find_permissions(UPLOADS[:1])), days, notes)


def page_of(client: Client, query: str = "") -> str:
    reply = client.get(URL + query)
    assert reply.status_code == 200
    return reply.content.decode()


def made(client: Client, **wanted: object) -> tuple[int, str]:
    form = form_of(page_of(client), "notes")
    sent: dict[str, object] = {**form.fields, "permission": UPLOADS[0], **wanted}
    reply = client.post(form.action, sent)
    return reply.status_code, html.unescape(reply.content.decode())


def test_new_token_shows_key_once_and_works(client: Client, owner: User) -> None:
    status, page = made(client, days="10", notes="nightly")
    assert status == 201
    [key] = re.findall(r'<input id="key" readonly value="(\w{64})"', page)
    token = find(key)
    assert (token.user, token.notes, effective_permissions(token)) == (
        owner,
        "nightly",
        frozenset(UPLOADS[:1]),
    )
    assert timedelta(days=9) < token.expires_at - timezone.now() <= timedelta(days=10)
    assert form_of(page, "notes").fields["notes"] == "", "the next one is another"
    later = page_of(client)
    assert key not in later
    assert key[:8] in later
    assert key not in str(dict(client.session))


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"permission": []}, "Choose at least one permission for the token"),
        ({"permission": UPLOADS}, "Invalid combination of permissions"),
        ({"permission": "auth.add_user"}, "No such permission: 'auth.add_user'"),
        ({"days": "0"}, "Days should be a whole number from 1 to 3650"),
        ({"days": "3651"}, "Days should be a whole number from 1 to 3650"),
        ({"days": "٣"}, "Days should be a whole number from 1 to 3650"),
        ({"notes": "x" * 2001}, "Notes have at most 2000 characters"),
        ({"notes": "a\0b"}, "Notes are text, without a NUL character"),
    ],
)
def test_new_token_with_invalid_fields_is_400(
    client: Client, owner: User, wanted: dict[str, object], text: str
) -> None:
    status, page = made(client, **wanted)
    assert (status, Token.objects.count()) == (400, 0)
    assert text in page


def test_new_token_error_keeps_form_values(client: Client, owner: User) -> None:
    _status, page = made(client, days="0", notes="nightly")
    fields = form_of(page, "notes").fields
    assert fields.items() >= {"permission": UPLOADS[0], "days": "0", "notes": "nightly"}.items()


def test_new_token_beyond_own_permissions_is_refused(client: Client, owner: User) -> None:
    assert "upload.view_all_uploads" not in page_of(client)
    status, page = made(client, permission="upload.view_all_uploads")
    assert (status, Token.objects.count()) == (403, 0)
    assert "upload.view_all_uploads not a valid permission" in page


def test_extend_counts_from_expiry(client: Client, owner: User) -> None:
    token, _key = made_by(owner, days=10)
    form = form_of(page_of(client).partition("<table")[2], "days")
    reply = client.post(form.action, form.fields | {"days": "5", "do": "extend"}, follow=True)
    assert "can be used until" in reply.content.decode()
    assert Token.objects.get().expires_at == token.expires_at + timedelta(days=5)


def test_extend_beyond_ten_years_is_refused(client: Client, owner: User) -> None:
    token, _key = made_by(owner, days=10)
    reply = client.post(f"{URL}{token.pk}/", {"do": "extend", "days": "3650"})
    assert reply.status_code == 400
    assert "A token can be extended to 3650 days from now" in reply.content.decode()


def test_revoke_ends_token_and_keeps_it_listed(client: Client, owner: User) -> None:
    token, key = made_by(owner)
    client.post(f"{URL}{token.pk}/", {"do": "revoke"})
    with pytest.raises(Forbidden, match="expired"):
        find(key)
    page = page_of(client)
    assert "expired</span>" in page
    assert "Revoke" not in page.partition("<table")[2].partition("</table>")[0]
    ended = Token.objects.get().expires_at
    client.post(f"{URL}{token.pk}/", {"do": "revoke"})
    assert Token.objects.get().expires_at == ended


def test_rotate_shows_new_key_and_marks_old_token(client: Client, owner: User) -> None:
    old, key = made_by(owner, notes="nightly")
    form = next(form for form in Forms(page_of(client)).forms if "overlap" in form.fields)
    assert form.fields["overlap"] == "1"
    reply = client.post(form.action, form.fields | {"overlap": "0", "do": "rotate"})
    page = reply.content.decode()
    [new_key] = re.findall(r'<input id="key" readonly value="(\w{64})"', page)
    assert (reply.status_code, find(new_key).notes) == (201, "nightly")
    assert f"<code>{old}</code>, which has ended" in page
    with pytest.raises(Forbidden, match="expired"):
        find(key)
    later = page_of(client)
    assert f"rotated</span> to <code>{find(new_key)}</code>" in later
    assert new_key not in later


def test_rotate_twice_is_refused_and_not_offered(client: Client, owner: User) -> None:
    old, _key = made_by(owner)
    path = f"{URL}{old.pk}/"
    assert client.post(path, {"do": "rotate", "overlap": "1"}).status_code == 201
    assert client.post(path, {"do": "rotate", "overlap": "1"}).status_code == 400
    actions = [form.action for form in Forms(page_of(client)).forms if "overlap" in form.fields]
    assert path not in actions
    assert len(actions) == 1


@pytest.mark.parametrize("overlap", ["", "-1", "91", "1.5", "٣", "9" * 5000])
def test_rotate_with_bad_overlap_is_400(client: Client, owner: User, overlap: str) -> None:
    old, _key = made_by(owner)
    reply = client.post(f"{URL}{old.pk}/", {"do": "rotate", "overlap": overlap})
    assert reply.status_code == 400
    assert "The overlap in days should be a whole number from 0 to 90" in reply.content.decode()
    assert Token.objects.count() == 1


def test_delete_removes_token(client: Client, owner: User) -> None:
    token, _key = made_by(owner)
    page = client.post(f"{URL}{token.pk}/", {"do": "delete"}, follow=True).content.decode()
    assert f"Token {token} is deleted." in page
    assert "You have no tokens." in page


@pytest.mark.parametrize("do", ["extend", "rotate", "revoke", "delete"])
def test_token_of_other_user_is_not_found(client: Client, owner: User, do: str) -> None:
    other, _key = made_by(person("b@example.com", *UPLOADS))
    reply = client.post(f"{URL}{other.pk}/", {"do": do, "days": "5", "overlap": "0"})
    assert reply.status_code == 404
    assert Token.objects.get().expires_at == other.expires_at
    assert str(other) not in page_of(client)


def test_unknown_action_is_400(client: Client, owner: User) -> None:
    token, _key = made_by(owner)
    assert client.post(f"{URL}{token.pk}/", {"do": "sell"}).status_code == 400


def test_list_shows_last_use(client: Client, owner: User) -> None:
    made_by(owner)
    assert ">never<" in page_of(client)
    Token.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    assert "2 min" in page_of(client)


@pytest.mark.parametrize(("days", "marked"), [(13, True), (20, False)])
def test_list_marks_token_that_expires_soon(client: Client, owner: User, days: int, marked: bool) -> None:
    made_by(owner, days)
    assert ('class="late"' in page_of(client)) == marked


def test_list_without_permission_has_no_form(client: Client) -> None:
    user = person("a@example.com", *UPLOADS)
    client.force_login(user)
    token, _key = made_by(user)
    page = page_of(client)
    assert str(token) in page
    assert "To create tokens you need the permission" in page
    assert [form for form in Forms(page).forms if "logout" not in form.action] == []


def test_list_escapes_notes(client: Client, owner: User) -> None:
    made_by(owner, notes="<script>alert(1)</script>\u202eexe")
    page = page_of(client)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202eexe" in page
    assert "<script>" not in page


def test_list_of_many_has_pages_and_few_queries(
    client: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(51):
        made_by(owner, notes=f"token {number}")
    with django_assert_max_num_queries(10):
        page = page_of(client)
    assert len(page) < 150_000
    [more] = re.findall(r'href="(\?after=[^"]+)"', page)
    assert ("token 50<" in page, "token 0<" in page) == (True, False)
    older = page_of(client, more)
    assert ("token 50<" in older, "token 0<" in older) == (False, True)
    assert client.get(f"{URL}?after=x").status_code == 400
