"""Examples in docs/redis-mandatory.md, except refused set-ups (tests/system/test_startup.py)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from tecken import redisclient
from tecken.monitoring.preflight import inspect
from tecken.monitoring.preflight.inspect import Target, inspect_server
from tecken.monitoring.preflight.rules import CACHE, STORE
from tecken.settings import BASE_DIR
from tests.support.redis_server import RedisServer
from tests.test_house import documented_settings

DOCUMENT = (BASE_DIR / "docs" / "redis-mandatory.md").read_text()
SOURCES = "".join(
    path.read_text() for path in (BASE_DIR / "tecken" / "monitoring" / "preflight").glob("*.py")
)


def block(kind: str, having: str) -> str:
    (matching,) = [
        text for text in re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL) if having in text
    ]
    return str(matching)


def keys(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield prefix + name
            yield from keys(inner, f"{prefix}{name}.")


@pytest.mark.django_db
def test_health_has_the_documented_keys() -> None:
    shown = json.loads(block("json", '"queue"'))
    assert set(keys(shown)) <= set(keys(Client().get("/health").json()))


@pytest.mark.django_db
def test_redis_details_have_the_documented_keys() -> None:
    shown = json.loads(block("json", '"counter_backend"'))
    operator = Client()
    operator.force_login(User.objects.create_user("op@example.com", is_staff=True))
    assert set(keys(shown)) <= set(keys(operator.get("/admin/health/redis").json()))


@pytest.mark.parametrize(("name", "needed"), [(CACHE, inspect.CACHE), (STORE, inspect.STORE)])
def test_documented_account_is_sufficient(name: str, needed: tuple[inspect.Command, ...]) -> None:
    line = block("text", "ACL SETUSER").strip()
    with RedisServer() as server, redis.Redis.from_url(server.url) as operator:
        operator.execute_command(*line.split())
        url = server.url.replace("//", "//tecken:password@")
        inspection = inspect_server(
            Target(name, url, redisclient.client(url, timeout=5, connect_timeout=5), needed), False
        )
    assert inspection.problems == ()
    assert inspection.facts


def test_check_redis_prints_the_documented_table() -> None:
    shown = block("console", "manage.py check_redis").splitlines()[1:]
    command = [sys.executable, "manage.py", "check_redis"]
    output = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == shown


def test_documented_variables_have_their_defaults() -> None:
    shown = re.findall(r"^\| `([A-Z_]+)` \| \w+ \| (?:`(.*?)`)? ?\| ", DOCUMENT, re.MULTILINE)
    known = documented_settings()
    assert len(shown) > 5
    assert dict(shown) == {name: known[name] for name, _default in shown}


def test_documented_warnings_are_in_the_code() -> None:
    """Return a text without names and figures."""
    shown = re.findall(r"^\| `⚠ (.+)` \| ", DOCUMENT, re.MULTILINE)
    assert len(shown) == len(re.findall(r'Problem\("(?:W(?!14)|E07)', SOURCES))
    for line in shown:
        words = re.split(r"redis-(?:cache|store)|volatile-lru|\d+%?", line)
        assert all(word in SOURCES for word in words), line


def test_documented_files_and_targets_exist() -> None:
    makefile = (BASE_DIR / "Makefile").read_text()
    named = re.findall(r"(?:tests|tecken|docker)/[\w/.-]+", DOCUMENT)
    assert all((BASE_DIR / name.rstrip(".")).exists() for name in named)
    targets = re.findall(
        r"\bmake ([a-z-]+)", "\n".join(re.findall(r"`[^`]+`|```shell.*?```", DOCUMENT, re.DOTALL))
    )
    assert targets
    assert all(f"\n{target}:" in makefile for target in targets)
