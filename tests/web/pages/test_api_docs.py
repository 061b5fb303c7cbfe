"""`/api/docs` shows the description of the API, all of it."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from tecken.accounts.tokens import TOKEN_PERMISSIONS
from tecken.web.pages.api_docs import Description, Operation
from tests.web.api.people import key_of, person


@pytest.fixture
def told(client: Client) -> Any:
    return client.get("/api/openapi.json").json()


@pytest.fixture
def operations(told: Any) -> dict[str, Operation]:
    groups = Description(told, "https://symbols.example.com").groups()
    return {
        f"{operation.method} {operation.path}": operation
        for group in groups
        for operation in group.operations
    }


def page(client: Client) -> str:
    reply = client.get("/api/docs")
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/html; charset=utf-8")
    return reply.content.decode()


def test_api_docs_has_every_operation(client: Client, told: Any) -> None:
    text = page(client)
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            assert f">{method.upper()}</span> <code>{path}</code>" in text
            assert escape(operation["summary"]) in text
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in text


def test_api_docs_is_in_menu_and_small(client: Client) -> None:
    text = page(client)
    assert '<a href="/api/docs" aria-current="true">API</a>' in text
    assert set(re.findall(r'<script src="([^"]+)"', text)) == {"/static/web/site.js"}
    assert len(text) < 120_000
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_api_docs_links_find_headings_of_reference(client: Client) -> None:
    reference = client.get("/help/api/").content.decode()
    anchors = re.findall(r'href="/help/api/#([^"]+)"', page(client))
    assert anchors
    assert [anchor for anchor in anchors if f' id="{anchor}"' not in reference] == []


def test_operation_has_fields_and_response(operations: dict[str, Operation]) -> None:
    operation = operations["POST /api/tokens/"]
    assert operation.status == 201
    assert not operation.is_public
    assert not operation.is_link
    assert [(f.name, f.place, f.kind, f.required) for f in operation.parameters] == [
        ("permissions", "body", f"list of {' or '.join(map(json.dumps, TOKEN_PERMISSIONS))}", True),
        ("days", "body", "integer", False),
        ("notes", "body", "text", False),
    ]
    assert operation.parameters[1].about == "at least 1; at most 3650; default <code>365</code>"
    assert '"key": text,  # only this response contains it' in operation.response
    assert operations["DELETE /api/tokens/token/{token_id}"].response == ""
    assert operations["GET /api/syminfo/{file}/{id}"].is_public


def test_operation_parameters_have_examples(operations: dict[str, Operation]) -> None:
    fields = {field.name: field for field in operations["GET /api/uploads/"].parameters}
    assert fields["size"].about == "such as <code>&gt;=10MB</code>"
    assert fields["try_symbols"].kind == "true or false"
    assert '"active" or "expired" or "all"' in {f.kind for f in operations["GET /api/tokens/"].parameters}


def test_operation_curl_is_one_command(operations: dict[str, Operation]) -> None:
    for operation in operations.values():
        words = shlex.split(operation.curl)
        assert words[0] == "curl"
        assert ("Auth-Token: $TECKEN_TOKEN" in words) == (not operation.is_public)
        assert ("-X" in words) == (operation.method != "GET")
        if "-d" in words:
            assert isinstance(json.loads(words[words.index("-d") + 1]), dict)


def test_operation_with_a_file_follows_redirects(operations: dict[str, Operation]) -> None:
    operation = operations["GET /buildid/{build_id}/debuginfo"]
    assert operation.is_file
    assert operation.curl.startswith("curl -L -O https://symbols.example.com/buildid/BUILD_ID/debuginfo")


def test_operation_of_source_code_needs_a_token(operations: dict[str, Operation]) -> None:
    assert not operations["GET /buildid/{build_id}/source/{file}"].is_public
    assert not operations["POST /source/v1"].is_public


def test_operation_with_a_required_query_is_no_link(operations: dict[str, Operation]) -> None:
    operation = operations["GET /metadata"]
    assert operation.curl == "curl 'https://symbols.example.com/metadata?key=KEY&value=VALUE'"
    assert not operation.is_link


@pytest.mark.django_db
def test_operation_curl_of_new_token_works(client: Client, operations: dict[str, Operation]) -> None:
    words = shlex.split(operations["POST /api/tokens/"].curl)
    key = key_of(person("me@example.com", "tokens.manage_tokens", "upload.upload_symbols"))
    body = words[words.index("-d") + 1]
    reply = client.post("/api/tokens/", body, content_type="application/json", headers={"auth-token": key})
    assert reply.status_code == 201


@pytest.mark.django_db
def test_operation_links_open(client: Client, operations: dict[str, Operation]) -> None:
    client.force_login(person("me@example.com", "upload.view_all_uploads"))
    opened = [operation.path for operation in operations.values() if operation.is_link]
    assert "/api/uploads/" in opened
    for path in opened:
        assert client.get(path).status_code in (200, 403)
