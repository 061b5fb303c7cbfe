"""Settings that production refuses, as the start checks report them."""

from __future__ import annotations

import re
import secrets

import pytest
from django.conf import LazySettings

from tecken.monitoring.preflight.rules import MIN_KEY_CHARACTERS, find_setting_problems, find_weakness
from tecken.settings import BASE_DIR

# Made once with the documented command: a random one would give each process of the tests other names.
KEY = "mY39mS2MxEUkqbvUBrj1r7zt9kI3jqvxKW3YJImnu2S-FlvsTUCPmwpNIt-WzvV9"
SAFE = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": KEY,
    "DEBUG": False,
    "ALLOWED_HOSTS": ["symbols.example.com"],
    "DATABASE_URL": f"postgres://tecken:{KEY}@db/tecken",
    "HTTPS_ONLY": True,
    "SECURE_COOKIES": True,
}


def problems(settings: LazySettings, **changes: object) -> list[tuple[str, str]]:
    for name, value in {**SAFE, **changes}.items():
        setattr(settings, name, value)
    return [(problem.id, problem.text) for problem in find_setting_problems()]


@pytest.mark.parametrize(
    "key",
    [
        "x",
        "for-local-use-only",
        "for-local-use-only" * 4,
        f"django-insecure-{KEY}",
        "ab" * 50,
        KEY[: MIN_KEY_CHARACTERS - 1],
    ],
)
def test_start_with_a_weak_secret_key_is_refused_in_production(settings: LazySettings, key: str) -> None:
    [(number, text)] = problems(settings, SECRET_KEY=key)
    assert number == "E15"
    assert "sessions can be forged; make one with: python3 -c" in text
    assert key not in text
    assert problems(settings, SECRET_KEY=key, ENVIRONMENT="development") == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"DEBUG": True}, "DEBUG is on"),
        ({"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS has *"),
        (
            {"DATABASE_URL": "postgres://tecken:%54ecken@db/tecken"},
            "the password in DATABASE_URL is a published one",
        ),
        ({"SECURE_COOKIES": False}, "SECURE_COOKIES is off with HTTPS_ONLY"),
    ],
)
def test_start_with_an_unsafe_setting_is_refused_in_production(
    settings: LazySettings, changes: dict[str, object], text: str
) -> None:
    [(number, message)] = problems(settings, **changes)
    assert (number, message.startswith(text)) == ("E16", True)
    assert problems(settings, **changes, ENVIRONMENT="development") == []


def test_start_reports_every_unsafe_setting_at_once(settings: LazySettings) -> None:
    reported = problems(settings, SECRET_KEY="x", DEBUG=True, ALLOWED_HOSTS=["*"], SECURE_COOKIES=False)
    assert [number for number, _text in reported] == ["E15", "E16", "E16", "E16"]
    assert [number for number, _text in problems(settings, SECRET_KEY="", DEBUG=True)] == ["E15", "E16"]


MODES = ({"ENVIRONMENT": "development"}, {"ENVIRONMENT": "production"}, {"DEMO_MODE": True})
SOURCES = "SYMBOL_SOURCES"


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("STORAGE_URL", "/var/storage", "/var/storage: expected file:///directory"),
        ("STORAGE_URL", "file:var", "file:var: expected file:///directory with an absolute path"),
        (
            "STORAGE_URL",
            "https://bucket.s3.example/",
            "https://bucket.s3.example/: expected file:///directory",
        ),
        ("STORAGE_URL", "s3://secret@bucket", "s3://bucket: credentials and options do not belong"),
        ("TRY_STORAGE_URL", "s3:bucket", "s3:bucket: expected"),
        (SOURCES, ["https://a/", "gopher://b/"], "gopher://b/: expected"),
        (SOURCES, ["symsv+https://b/"], "symsv+https://b/: expected symsrv, debuginfod"),
        (SOURCES, ["https://u:secret@[b/"], "https://[b/: not a URL"),
        (SOURCES, ["https://u:secret@b:x/"], "https://b:x/: expected http(s)"),
        (SOURCES, ["https://b/?x=y"], "https://b/: expected http(s)"),
        (SOURCES, ["https:///b"], "https:///b: expected http(s)"),
        (SOURCES, ["https://b/#x=y"], "https://b/: expected served=yes"),
        (SOURCES, ["file:///a#platforms=linux", "beos"], "beos: expected"),
    ],
)
def test_start_with_a_malformed_url_is_refused(
    settings: LazySettings, variable: str, value: object, text: str, mode: dict[str, object]
) -> None:
    found = problems(settings, **{variable: value}, **mode)
    reported = [message for number, message in found if number == "E17"]
    assert len(reported) == 1
    assert reported[0].startswith(f"{variable} is malformed: {text}")
    assert "secret" not in reported[0]


def test_start_accepts_every_kind_of_upstream(settings: LazySettings) -> None:
    sources = [
        "https://user:secret@host:8443/prefix/#served=yes",
        *("symsrv+http://host", "unified+s3://bucket/prefix", "buildid+file:///usr/lib/debug", "az://box"),
        *("debuginfod+https://[::1]/#platforms=linux", "macos"),
    ]
    assert problems(settings, SYMBOL_SOURCES=sources, TRY_STORAGE_URL="gs://bucket/try") == []


def test_start_with_safe_settings_has_no_problem(settings: LazySettings) -> None:
    assert problems(settings) == []


@pytest.mark.parametrize("make", [lambda: secrets.token_urlsafe(48), lambda: secrets.token_hex(32)])
def test_weakness_of_a_key_made_as_documented_is_none(make: object) -> None:
    assert callable(make)
    assert [find_weakness(make()) for _ in range(200)] == [""] * 200


def test_no_file_for_a_deployment_has_a_usable_secret() -> None:
    """Compose demands both secrets, and the example has none."""
    compose = (BASE_DIR / "docker-compose.yml").read_text()
    uses = re.findall(r"\$\{(SECRET_KEY|POSTGRES_PASSWORD)(:[?-])", compose)
    assert sorted(uses) == [("POSTGRES_PASSWORD", ":?")] * 2 + [("SECRET_KEY", ":?")]
    example = (BASE_DIR / ".env.example").read_text()
    assert not re.search(r"^(SECRET_KEY|POSTGRES_PASSWORD)=", example, re.MULTILINE)
    assert "secrets.token_hex(32)" in example
