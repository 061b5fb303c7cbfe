"""docs/help as pages: each is there, its links lead somewhere, and what it says works."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from django.test import Client
from django.urls import Resolver404, resolve
from django.utils.html import escape

from tecken.settings import BASE_DIR
from tecken.web.pages.docs import EXAMPLE, NAMES, topics
from tests.web.api.people import key_of, person

HELP = BASE_DIR / "docs" / "help"


def page_of(client: Client, name: str) -> str:
    reply = client.get(f"/help/{name}/")
    assert reply.status_code == 200
    return reply.content.decode()


def text_of(name: str) -> str:
    return (HELP / f"{name}.md").read_text()


def test_help_has_every_document() -> None:
    assert sorted(path.stem for path in HELP.glob("*.md")) == sorted(NAMES)


def test_help_index_links_each_topic(client: Client) -> None:
    page = client.get("/help/").content.decode()
    for topic in topics().values():
        assert f'<a href="/help/{topic.name}/">{topic.title}</a>' in page
        assert escape(topic.lead) in page


@pytest.mark.parametrize("name", topics())
def test_help_topic_is_rendered(client: Client, name: str) -> None:
    page = page_of(client, name)
    assert f"<h1>{topics()[name].title}</h1>" in page
    assert EXAMPLE not in page
    assert page.count("<h1") == 1
    assert ".md<" not in page
    assert "\n| " not in re.sub("<pre.*?</pre>", "", page, flags=re.DOTALL), "a table that is none"
    assert len(page) < 100_000
    assert not re.search(r"\sstyle=|<script(?! src)|<th[^>]*></th>", page)


@pytest.mark.parametrize("name", topics())
def test_help_links_resolve(client: Client, name: str) -> None:
    page = page_of(client, name)
    for href in set(re.findall(r'<a [^>]*href="(/[^"]*)"', page)):
        try:
            resolve(href.partition("#")[0].partition("?")[0])
        except Resolver404:
            pytest.fail(href)
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_help_links_find_headings_of_reference() -> None:
    ids = set(re.findall(r' id="([^"]+)"', topics()["api"].html))
    wanted = {
        anchor for topic in topics().values() for anchor in re.findall(r'/help/api/#([^"]+)', topic.html)
    }
    assert wanted <= ids


def test_help_examples_have_address_of_site(client: Client) -> None:
    page = client.get("/help/upload/", headers={"host": "localhost"}).content.decode()
    assert "TECKEN_URL: http://localhost\n" in page


def test_help_with_foreign_host_is_refused(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["symbols.example.org"]
    for host in ("evil.example", '"><script>alert(1)</script>', "symbols.example.org\r\nx: y"):
        reply = client.get("/help/upload/", headers={"host": host, "accept": "text/html"})
        assert reply.status_code == 400
        assert "<h1>Bad Request</h1>" in reply.content.decode()
        assert "evil.example" not in reply.content.decode()


def test_help_unknown_topic_is_not_found(client: Client) -> None:
    reply = client.get("/help/nothing/")
    assert (reply.status_code, reply["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_help_commands_are_those_of_tested_documents() -> None:
    """docs/upload.md and docs/download.md are."""
    tested = (BASE_DIR / "docs" / "upload.md").read_text()
    for block in re.findall(r"```yaml\n(.*?)```", text_of("upload"), re.DOTALL)[1:]:
        assert block in tested


def test_help_example_stack_is_valid(client: Client) -> None:
    [stack] = re.findall(r"/symbolicate/v5 -d '(.*?)'", text_of("symbolicate"), re.DOTALL)
    assert set(json.loads(stack)) == {"memoryMap", "stacks"}
    [answer] = re.findall(r"```json\n(.*?)```", text_of("symbolicate"), re.DOTALL)
    assert set(json.loads(answer)["results"][0]) == {"stacks", "found_modules", "module_errors"}


@pytest.mark.django_db
def test_help_command_checks_token(client: Client) -> None:
    [command] = re.findall(r"^curl .*auth_info.*$", text_of("tokens"), re.MULTILINE)
    url = next(word for word in shlex.split(command) if word.startswith(EXAMPLE))
    key = key_of(person("me@example.com", "upload.upload_symbols"))
    reply = client.post(url.removeprefix(EXAMPLE), headers={"auth-token": key})
    assert (reply.status_code, reply.json()["email"]) == (200, "me@example.com")


def test_help_refusals_have_texts_of_code() -> None:
    refusals = re.findall(r"^\| 403 \| `(API[^`]+)`", text_of("tokens"), re.MULTILINE)
    source = (BASE_DIR / "tecken" / "accounts" / "tokens.py").read_text()
    assert len(refusals) == 3
    assert [text for text in refusals if text not in source] == []


def test_help_links_no_document_of_the_same_name(client: Client) -> None:
    page = client.get("/help/minidumps/").content.decode()
    assert "The differences are listed in the documentation." in page
