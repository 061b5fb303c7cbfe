"""/tokens/ci/: an upload-only token, the step with it, and the first upload. The browser runs no scripts."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tecken.accounts import tokens
from tecken.accounts.models import Token
from tecken.accounts.tokens import effective_permissions, find, find_permissions, issue
from tecken.upload.models import Upload
from tecken.web.pages.add_to_ci import SYSTEMS, list_steps
from tests.web.api.people import person
from tests.web.api.rows import file_of, upload_of
from tests.web.forms import form_of

pytestmark = pytest.mark.django_db

URL = "/tokens/ci/"
REGULAR, TRY = "upload.upload_symbols", "upload.upload_try_symbols"
SITE, KEY = "https://symbols.example.com", "0123456789abcdef" * 4
EXPIRES = "2027-01-31T00:00:00+00:00"


@pytest.fixture
def owner(client: Client) -> User:
    user = person("a@example.com", tokens.MANAGE, REGULAR, TRY)
    client.force_login(user)
    return user


def made(client: Client, **wanted: str) -> Any:
    """Send the form on the page of tokens."""
    form = form_of(client.get("/tokens/").content.decode(), "note")
    return client.post(form.action, {**form.fields, **wanted})


def text_of(reply: Any) -> str:
    return html.unescape(reply.content.decode())


def again(client: Client, token: Token, status: int = 200) -> str:
    reply = client.get(f"{URL}?token={token.pk}")
    assert reply.status_code == status
    return text_of(reply)


def token_of(user: User, *permissions: str) -> Token:
    return issue(user, list(find_permissions(permissions or [REGULAR])), 30)[0]


def test_form_creates_token_that_can_upload_only(client: Client, owner: User) -> None:
    reply = made(client, note="nightly", days="90")
    page = text_of(reply)
    [key] = re.findall(r'<input id="key" readonly value="(\w{64})"', page)
    token = find(key)
    assert (reply.status_code, token.notes) == (201, "nightly")
    assert effective_permissions(token) == {REGULAR}
    assert timedelta(days=89) < token.expires_at - timezone.now() <= timedelta(days=90)
    assert "no-store" in reply["Cache-Control"]
    assert f"gh secret set TECKEN_TOKEN --body {key}" in page
    assert "curl -fsSO http://testserver/tecken-upload.pyz" in page
    for system in SYSTEMS:
        assert f'<details id="{system.name}" name="ci"' in page


def test_key_is_shown_once(client: Client, owner: User) -> None:
    [key] = re.findall(r'<input id="key" readonly value="(\w{64})"', text_of(made(client)))
    page = again(client, Token.objects.get())
    assert key not in page
    assert "gh secret set TECKEN_TOKEN --body PASTE-THE-TOKEN" in page


def test_form_with_try_creates_token_of_try_builds(client: Client, owner: User) -> None:
    page = text_of(made(client, **{"try": "1"}))
    [key] = re.findall(r'<input id="key" readonly value="(\w{64})"', page)
    assert effective_permissions(find(key)) == {TRY}
    assert "symbols of try builds" in page


def test_user_who_may_upload_try_symbols_only_gets_such_a_token(client: Client) -> None:
    client.force_login(person("try@example.com", tokens.MANAGE, TRY))
    assert 'name="try"' not in text_of(client.get(URL))
    made(client)
    assert effective_permissions(Token.objects.get()) == {TRY}


@pytest.mark.parametrize("permissions", [(REGULAR,), (tokens.MANAGE,), ()])
def test_user_who_may_not_upload_or_not_manage_tokens_is_refused(
    client: Client, permissions: tuple[str, ...]
) -> None:
    client.force_login(person("b@example.com", *permissions))
    assert client.get(URL).status_code == 403
    assert client.post(URL, {"days": "30"}).status_code == 403
    assert 'name="note"' not in text_of(client.get("/tokens/"))
    assert not Token.objects.exists()


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"days": "0"}, "Days should be a whole number from 1 to 3650"),
        ({"days": "9" * 5000}, "Days should be a whole number"),
        ({"note": "x" * 2001}, "Notes have at most 2000 characters"),
        ({"note": "a\0b"}, "Notes are text, without a NUL character"),
    ],
)
def test_form_with_bad_values_is_400_and_keeps_them(
    client: Client, owner: User, wanted: dict[str, str], text: str
) -> None:
    reply = made(client, **{"days": "7", **wanted})
    assert (reply.status_code, Token.objects.count()) == (400, 0)
    page = text_of(reply)
    assert text in page
    assert form_of(page, "note").fields.items() >= {"days": wanted.get("days", "7")}.items()


@pytest.mark.parametrize("number", ["x", "0", "-1", "99999", "9" * 40])
def test_unknown_token_is_404(client: Client, owner: User, number: str) -> None:
    assert client.get(URL, {"token": number}).status_code == 404


def test_token_of_another_user_or_with_more_permissions_is_404(client: Client, owner: User) -> None:
    again(client, token_of(person("b@example.com", REGULAR)), 404)
    assert "can do more than upload" in again(client, token_of(owner, REGULAR, tokens.MANAGE), 404)


def test_page_waits_for_the_first_upload(client: Client, owner: User) -> None:
    token = token_of(owner)
    page = again(client, token)
    assert "Waiting for the first upload with this token." in page
    assert f'hx-get="{URL}?token={token.pk}"' in page
    assert f'<a href="{URL}?token={token.pk}">Look again</a>' in page
    upload_of(owner)
    upload_of(owner, token=token_of(owner))
    assert "Waiting for the first upload" in again(client, token), "those were sent without this token"


def test_page_says_that_the_token_was_used_without_an_upload(client: Client, owner: User) -> None:
    token = token_of(owner)
    Token.objects.filter(pk=token.pk).update(last_used_at=timezone.now())
    assert "but there is no upload yet" in again(client, token)


def test_page_shows_first_upload_with_its_state(client: Client, owner: User) -> None:
    token = token_of(owner)
    upload = upload_of(owner, token=token, completed_at=None, members_total=29, members_done=3)
    assert "has begun:</b> 3 of 29 files stored." in again(client, token)
    Upload.objects.update(error="it is <broken>")
    assert "failed:</b> <bdi>it is <broken></bdi>" in again(client, token)
    Upload.objects.update(error="", completed_at=timezone.now(), warnings=[{"key": "a", "message": "b"}])
    file_of(upload)
    upload_of(owner, token=token)
    page = again(client, token)
    assert f'It works: <a href="/uploads/{upload.pk}/">upload {upload.pk}</a> arrived' in page
    assert "1 module; none of them was missing before." in page
    assert "1 warning:" in page


def test_page_shows_what_the_first_upload_resolved(client: Client, owner: User) -> None:
    token = token_of(owner)
    resolved = [["xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2", 41, 40, 0, 0, []]]
    file_of(upload_of(owner, token=token, resolved=resolved, resolved_modules=1))
    page = again(client, token)
    assert "<b>1 of 1 module</b> was missing before, in 41 requests (40 for symbolication)." in page


def test_page_of_an_old_upload_or_token_is_not_refreshed(client: Client, owner: User) -> None:
    token = token_of(owner)
    Token.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert "hx-get" not in again(client, token)
    upload_of(owner, token=token, created_at=timezone.now() - timedelta(hours=2))
    assert "hx-get" not in again(client, token)


def test_page_of_ended_token_says_so(client: Client, owner: User) -> None:
    token = token_of(owner)
    tokens.revoke(token)
    assert "This token has ended, and nothing was uploaded with it." in again(client, token)


def steps() -> dict[str, tuple[str, str]]:
    return {step.name: (step.secret, step.code) for step in list_steps(SITE, KEY, EXPIRES)}


def test_steps_have_site_and_client_and_only_secrets_have_the_key() -> None:
    for name, (secret, code) in steps().items():
        assert KEY in secret, name
        assert KEY not in code, name
        assert f"curl -fsSO {SITE}/tecken-upload.pyz" in code, name
        assert f"python3 tecken-upload.pyz --url {SITE}" in code, name
        assert "--build " in code, name
        assert "{" + "{ site" not in code + secret, name


@pytest.mark.parametrize("name", ["github", "gitlab", "taskcluster"])
def test_steps_in_yaml_are_valid(name: str) -> None:
    document = yaml.safe_load(steps()[name][1])
    if name == "github":
        assert document[0]["env"] == {"TECKEN_TOKEN": "${{ secrets.TECKEN_TOKEN }}"}
        assert len(document[0]["run"].replace("\\\n", "").splitlines()) == 2
    elif name == "gitlab":
        fetch, run = document["upload-symbols"]["script"]
        assert (fetch.split()[0], run.split()[-1], "\n" in run) == ("curl", "build/", False)
    else:
        assert document["payload"]["command"][-1].startswith("umask 077\n")


def test_secret_of_taskcluster_is_json() -> None:
    [text] = re.findall("'(.*)'", steps()["taskcluster"][0])
    assert json.loads(text) == {"secret": {"token": KEY}, "expires": EXPIRES}
