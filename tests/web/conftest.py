from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from tecken.runtimeconfig import current
from tests.runtimeconfig.backends import MemoryBackend

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBackend]:
    """This test's own, for everything that asks for the process's backend."""
    mine = MemoryBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    yield mine
    current.reset()  # else its watcher goes on looking at this one


@pytest.fixture
def operator(client: Client) -> User:
    return logged_in(client, "op@example.com", "runtimeconfig.change_option")


@pytest.fixture
def viewer(client: Client) -> User:
    return logged_in(client, "viewer@example.com", "runtimeconfig.view_option")


def logged_in(client: Client, email: str, permission: str) -> User:
    from tests.web.api.people import person  # noqa: PLC0415 - only now is Django set up

    user = person(email, permission)
    client.force_login(user)
    return user
