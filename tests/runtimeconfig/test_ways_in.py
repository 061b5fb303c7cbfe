"""One validation: each interface refuses an invalid value with the same text.

What is put into Redis by hand cannot be refused: tests/system/test_runtimeconfig.py finds them there.
"""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from tecken.runtimeconfig import service
from tests.runtimeconfig.backends import MemoryBackend
from tests.runtimeconfig.wrong import WRONG, said_of
from tests.web.api.people import key_of, person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("backend")]

CHANGE = "runtimeconfig.change_option"


def by_command(name: str, text: str) -> str:
    with pytest.raises(CommandError) as refused:
        call_command("config", "set", name, text)
    return str(refused.value)


def by_api(name: str, text: str) -> str:
    token = {"Auth-Token": key_of(person("op@example.com", CHANGE))}
    body = {"changes": {name: text}}
    reply = Client().patch("/api/config/", body, content_type="application/json", headers=token)
    assert reply.status_code == 400
    return str(reply.json()["error"])


def by_page(name: str, text: str) -> str:
    """The form has a field for each option that there is; the one for a window takes any name."""
    visitor = Client()
    visitor.force_login(person("op@example.com", CHANGE), "django.contrib.auth.backends.ModelBackend")
    field = {name: text}
    if f'name="{name}"' not in visitor.get("/config/").text:
        field = {"window-option": name, "window-text": text, "window-from": "2030-01-01 22:00"}
    reply = visitor.post("/config/", {"version": "0", **field})
    assert reply.status_code == 400
    return unescape(reply.text)


@pytest.mark.parametrize("way", [by_command, by_api, by_page])
@pytest.mark.parametrize(("name", "text"), WRONG)
def test_invalid_value_has_the_same_error_in_every_interface(
    way: Callable[[str, str], str], name: str, text: str, backend: MemoryBackend
) -> None:
    assert said_of(name, text) in way(name, text)
    assert service.newest().number == 0
    assert backend.read().texts == {}
