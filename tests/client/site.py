"""A site on loopback for the client, as a pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tecken import services
from tecken.accounts import tokens


@pytest.fixture
def site(
    live_server: LiveServer,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    clear_redis_store: None,
) -> Iterator[LiveServer]:
    """Return a site with empty storage, which TECKEN_URL and TECKEN_TOKEN name."""
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    services.discard_all()
    monkeypatch.setenv("TECKEN_URL", live_server.url)
    allow(monkeypatch, "upload_symbols")
    yield live_server
    services.discard_all()


def allow(monkeypatch: pytest.MonkeyPatch, codename: str) -> None:
    """TECKEN_TOKEN is one with this permission."""
    user, _ = User.objects.get_or_create(username="ci@example.com", email="ci@example.com")
    permission = Permission.objects.get(codename=codename)
    user.user_permissions.add(permission)
    _, key = tokens.issue(User.objects.get(pk=user.pk), [permission], days=1)
    monkeypatch.setenv("TECKEN_TOKEN", key)
