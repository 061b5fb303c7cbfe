"""Fixtures of a site with users who upload; for a test module's `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import Settings

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.accounts import tokens
from tecken.storage import services as storage_services
from tecken.storage.dump import find_engine
from tests.upload.uploaders import Makes, Uploader


@pytest.fixture
def uploader(tmp_path: Path, settings: Settings, clear_redis_store: None) -> Iterator[Makes]:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    services.discard_all()

    def make(permission: str = "upload_symbols", email: str = "builder@example.com") -> Uploader:
        user, _ = User.objects.get_or_create(username=email, email=email)
        granted = Permission.objects.get(codename=permission)
        user.user_permissions.add(granted)
        _, key = tokens.issue(User.objects.get(pk=user.pk), [granted], days=1)
        return Uploader(key, Client(headers={"Auth-Token": key}), user)

    yield make
    services.discard_all()


@pytest.fixture
def native_builder(uploader: Makes, monkeypatch: pytest.MonkeyPatch) -> Uploader:
    """On a site that converts native files with the best engine that is there."""
    monkeypatch.setattr(storage_services, "find_engine", find_engine)
    return uploader()
