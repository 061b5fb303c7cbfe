"""Protection of the site against attacks; docs/security.md describes it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tecken.settings import BASE_DIR
from tecken.web import middleware
from tests.accounts.people import key

ROOT = "root"
RIGHT = "correct horse battery"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}")
A_SECRET_KEY = "".join(chr(33 + i) for i in range(64))


@pytest.fixture(autouse=True)
def afresh() -> None:
    current.reset()


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_store")
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/symbolicate/v5",
            "/upload/",
            "/api/tokens/",
            "/a.pdb/44E4EC8C2F41492B9369D6B9A059577C2/a.sym",
        ),
        *(
            "/admin/login/",
            "/api/docs",
            "/config/",
            "/static/web/site.css",
            "/health",
            "/metrics",
            "/no/such",
        ),
    ],
)
def test_responses_have_security_headers(client: Client, path: str) -> None:
    answer = client.get(path)
    answer.close()
    assert answer["Content-Security-Policy"] == middleware.POLICY
    assert answer["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_maintenance_page_has_security_headers(client: Client) -> None:
    current.backend().set_maintenance("full", format_maintenance(Maintenance()), None)
    try:
        answer = client.get("/", headers={"accept": "text/html"})
    finally:
        current.backend().set_maintenance("full", None, None)
    assert answer["Content-Security-Policy"] == middleware.MAINTENANCE_POLICY
    assert f"<style>{middleware.STYLE}</style>" in answer.content.decode()


def test_pages_run_no_inline_code() -> None:
    assert "unsafe" not in middleware.POLICY + middleware.MAINTENANCE_POLICY
    templates = (BASE_DIR / "tecken").rglob("*.html")
    odd = [path for path in templates if re.search(r"\sstyle=|\son\w+=|<style|<script>", path.read_text())]
    assert odd == []


def test_plain_http_is_redirected_to_https(client: Client, settings: LazySettings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    answer = Client().get("/api/docs", headers={"host": "localhost"})
    assert (answer.status_code, answer["Location"]) == (301, "https://localhost/api/docs")
    there = Client().get("/", headers={"host": "localhost", "x-forwarded-proto": "https"})
    assert there.status_code == 200


def test_monitoring_urls_over_http_are_served(settings: LazySettings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/__lbheartbeat__").status_code == 200
    exempt = [re.compile(pattern) for pattern in settings.SECURE_REDIRECT_EXEMPT]
    for path in ("health", "health/live", "health/ready", "metrics", "__heartbeat__"):
        assert any(pattern.search(path) for pattern in exempt)
    for path in ("", "metrics/x", "health.pdb/A/a.sym", "admin/"):
        assert not any(pattern.search(path) for pattern in exempt)


def composed(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the site in docker-compose, with `values` in .env."""
    text = (BASE_DIR / "docker-compose.yml").read_text()
    block = text.partition("environment: &environment\n")[2].partition("  volumes:")[0]
    pairs = re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE)

    def filled(match: re.Match[str]) -> str:
        return values.get(match[1]) or match[2] or ""

    return {name: VARIABLE.sub(filled, value.strip('"')) for name, value in pairs}


def test_documented_deployment_passes_the_checks_of_django() -> None:
    """With .env.example as it is, and the secrets that it requires."""
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    values = {**example, "SECRET_KEY": A_SECRET_KEY, "POSTGRES_PASSWORD": "a-password"}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    environment = {**composed(values), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, environment["ENVIRONMENT"]) == (0, "production"), done.stderr


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
def test_login_with_many_wrong_passwords_is_locked(settings: LazySettings) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    User.objects.create_superuser(ROOT, password=RIGHT)
    guesses = [login(f"guess {i}").status_code for i in range(3)]
    assert (guesses, login(RIGHT).status_code) == ([200, 200, 429], 429)
    assert login(RIGHT, REMOTE_ADDR="192.0.2.7").status_code == 302  # no user is locked out by another


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
def test_log_has_no_passwords_and_tokens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    User.objects.create_superuser(ROOT, password=RIGHT)
    login("a wrong guess")
    login(RIGHT)
    guess = "0123abcd" * 8
    Client().get("/api/tokens/", headers={"auth-token": guess, "cookie": "sessionid=of-a-session"})
    for secret in (RIGHT, "a wrong guess", guess, "of-a-session"):
        assert secret not in caplog.text


def login(password: str, **meta: str) -> Any:
    return Client().post("/admin/login/", {"username": ROOT, "password": password}, **meta)  # type: ignore[arg-type]


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/tokens/"),
        ("get", "/api/tokens/"),
        ("get", "/api/uploads/"),
        ("get", "/api/usage/"),
        ("get", "/api/stats/"),
        ("post", "/upload/auth_info/"),
        ("post", "/upload/"),
        ("get", "/admin/health/redis"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_response_that_depends_on_the_user_is_not_cached(method: str, path: str, known: bool) -> None:
    made = key("upload.upload_symbols", "tokens.manage_tokens") if known else "0" * 64
    body = {"permissions": ["upload.upload_symbols"]}
    reply = getattr(Client(), method)(
        path, body if method == "post" else None, "application/json", headers={"auth-token": made}
    )
    assert reply["Cache-Control"] == "no-store"
    assert {"Auth-Token", "Cookie"} <= {name.strip() for name in reply["Vary"].split(",")}


@pytest.mark.django_db
def test_response_that_is_the_same_for_all_may_be_cached() -> None:
    for path in ("/api/openapi.json", "/missingsymbols/", "/health"):
        assert "Cache-Control" not in Client().get(path).headers
