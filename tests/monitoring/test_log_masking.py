"""Secrets that must never be in a log, in the forms in which they would get there."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from tecken.errors import MASK
from tecken.monitoring import logs
from tecken.monitoring.logs import mask_deeply, mask_secrets

TOKEN = "0123abcd" + "f" * 56
LEAKS = [
    "redis://:hunter2@redis-cache:6379/1",
    "rediss://ted:hunter2@[::1]:6379 does not answer",
    "postgres://tecken:hunter2@db/tecken?connect_timeout=3",
    "redis://:p@ss/hunter2@host",
    "sentinel://ted:x@h:1,ted:hunter2@i:1/master",
    "https://hunter2@errors.example/1",
    "GET https://files.example/a?X-Amz-Credential=hunter2&X-Amz-Signature=hunter2&x=1",
    "https://storage.example/a?X-Goog-Signature=hunter2",
    "Cookie: sessionid=hunter2; csrftoken=hunter2",
    "{'Host': 'a', 'Cookie': 'a=1; sessionid=hunter2', 'Accept': '*/*'}",
    "HTTP_COOKIE: sessionid=hunter2",
    "Authorization: Bearer hunter2",
    '{"authorization": "Basic hunter2"}',
    "csrfmiddlewaretoken=hunter2&username=ada&password=hunter2",
    "{'password': 'hunter2'}",
    "AUTH failed: password=hunter2",
    "sentinel://h/m?sentinel_password=hunter2&sentinel_username=s",
    "{'client_secret': 'hunter2', 'code': 1}",
]


@pytest.mark.parametrize("text", LEAKS)
def test_mask_secrets_finds_them_by_form(text: str) -> None:
    assert "hunter2" not in mask_secrets(text)
    assert MASK in mask_secrets(text)


def test_mask_secrets_leaves_the_hint_of_a_token() -> None:
    assert mask_secrets(f"Auth-Token: {TOKEN}") == "Auth-Token: ***"
    assert mask_secrets(f"unknown token {TOKEN}") == "unknown token 0123abcd***"


@pytest.mark.parametrize(
    "text",
    [
        "GET /xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym 200",
        "redis://redis-cache:6379/1",
        "https://symbols.example.org/public/ said 500",
        "The use of token 12 was not recorded",
        "ada@example.com logged in",
        "7 tokens, no passwords",
    ],
)
def test_mask_secrets_leaves_other_text(text: str) -> None:
    assert mask_secrets(text) == text


def test_mask_secrets_finds_values_of_settings_anywhere(settings: LazySettings) -> None:
    settings.SECRET_KEY = "a key of the site"
    settings.REDIS_URL = "redis://:p%40ssword-1@h"
    logs._secrets_pattern.cache_clear()
    try:
        assert mask_secrets("[a key of the site]") == "[***]"
        assert mask_secrets("p@ssword-1 and p%40ssword-1") == "*** and ***"
    finally:
        logs._secrets_pattern.cache_clear()


def test_mask_secrets_finds_user_names_and_query_values_of_settings(settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://hunter2hunter2@h"
    settings.STORAGE_URL = "s3://bucket?secret_access_key=hunter3hunter3"
    logs._secrets_pattern.cache_clear()
    try:
        assert mask_secrets("[hunter2hunter2] [hunter3hunter3]") == "[***] [***]"
    finally:
        logs._secrets_pattern.cache_clear()


def test_mask_secrets_leaves_short_values_of_settings(settings: LazySettings) -> None:
    settings.DATABASE_URL = "postgres://tecken:tecken@db/tecken"
    logs._secrets_pattern.cache_clear()
    try:
        assert mask_secrets("tecken.requests") == "tecken.requests"
    finally:
        logs._secrets_pattern.cache_clear()


def test_mask_deeply_masks_nested_values() -> None:
    value = {"a": ["redis://:hunter2@h", 7, {"b": ("Cookie: hunter2",)}]}
    assert mask_deeply(value) == {"a": ["redis://:***@h", 7, {"b": ["Cookie: ***"]}]}
