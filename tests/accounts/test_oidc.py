from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from environs.exceptions import EnvValidationError

from tecken.settings import BASE_DIR
from tests.accounts import site_with_login
from tests.support.oidc_provider import OidcProvider, new_key
from tests.test_settings import load

BACKEND = "tecken.accounts.oidc.Backend"
RESOLVE = """
import django; django.setup()
from django.urls import resolve
print(resolve("/oidc/callback/").view_name)
"""

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls(site_with_login.__name__),
    pytest.mark.usefixtures("clear_redis_cache"),
]


@pytest.fixture
def provider(settings: Any) -> Iterator[OidcProvider]:
    with OidcProvider().running() as provider:
        for name, value in provider.settings.items():
            setattr(settings, name, value)
        settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, BACKEND]
        yield provider


def log_in(client: Client, provider: OidcProvider) -> Any:
    there = client.get("/oidc/authenticate/?next=/admin/")
    assert there["Location"].startswith(f"{provider.url}/authorize?")
    return client.get(provider.authorize(there["Location"]))


def session_user(client: Client) -> str | None:
    user_id = client.session.get("_auth_user_id")
    return User.objects.get(pk=user_id).email if user_id else None


def test_oidc_login_of_a_new_user_creates_one_without_permissions(
    client: Client, provider: OidcProvider
) -> None:
    assert log_in(client, provider)["Location"] == "/admin/"
    assert session_user(client) == "ada@example.com"
    user = User.objects.get()
    assert (user.username, user.is_staff, user.get_all_permissions()) == ("ada@example.com", False, set())


def test_oidc_login_of_a_known_email_finds_the_user(client: Client, provider: OidcProvider) -> None:
    known = User.objects.create_user("ada", "Ada@example.com")
    log_in(client, provider)
    assert client.session["_auth_user_id"] == str(known.pk)


@pytest.mark.parametrize("claims", [{}, {"email": ""}, {"email": "ada@example.com", "email_verified": False}])
def test_oidc_login_without_a_verified_address_is_refused(
    client: Client, provider: OidcProvider, claims: dict[str, Any]
) -> None:
    provider.claims = {"sub": "1", **claims}
    assert log_in(client, provider)["Location"] == "/"
    assert session_user(client) is None


@pytest.mark.parametrize("verified", [{}, {"email_verified": True}, {"email_verified": "true"}])
def test_oidc_login_with_a_verified_or_unmarked_address_succeeds(
    client: Client, provider: OidcProvider, verified: dict[str, Any]
) -> None:
    provider.claims = {"sub": "1", "email": "ada@example.com", **verified}
    log_in(client, provider)
    assert session_user(client) == "ada@example.com"


def test_oidc_login_with_a_foreign_signature_is_refused(client: Client, provider: OidcProvider) -> None:
    provider.signing_key = new_key()
    assert log_in(client, provider).status_code == 400
    assert session_user(client) is None


def test_oidc_login_with_an_unknown_state_is_refused(client: Client, provider: OidcProvider) -> None:
    client.get("/oidc/authenticate/")
    assert client.get("/oidc/callback/?code=once&state=forged").status_code == 400
    assert session_user(client) is None


def test_oidc_login_of_an_inactive_user_is_refused(client: Client, provider: OidcProvider) -> None:
    User.objects.create_user("ada", "ada@example.com", is_active=False)
    log_in(client, provider)
    assert session_user(client) is None


def test_oidc_without_configuration_is_off() -> None:
    off, on = (load(**told) for told in ({}, configured()))
    assert BACKEND not in off["AUTHENTICATION_BACKENDS"]
    assert BACKEND in on["AUTHENTICATION_BACKENDS"]
    assert on["LOGIN_URL"] == "/oidc/authenticate/"


def test_oidc_with_half_a_configuration_fails_at_start() -> None:
    with pytest.raises(EnvValidationError) as raised:
        load(OIDC_RP_CLIENT_ID="tecken")
    assert all(name in str(raised.value) for name in configured() if name != "OIDC_RP_CLIENT_ID")


def test_oidc_with_configuration_has_its_urls() -> None:
    environment = {**configured(), "DJANGO_SETTINGS_MODULE": "tecken.settings", "SECRET_KEY": "tests"}
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE],
        env=environment,
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "oidc_authentication_callback"


def configured() -> dict[str, str]:
    names = ("AUTHORIZATION", "TOKEN", "USER", "JWKS")
    urls = {f"OIDC_OP_{name}_ENDPOINT": f"https://login.example/{name}" for name in names}
    return {"OIDC_RP_CLIENT_ID": "tecken", "OIDC_RP_CLIENT_SECRET": "secret", **urls}
