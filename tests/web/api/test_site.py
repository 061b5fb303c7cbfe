"""The description, and what every part of the API answers to bad requests."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client, RequestFactory
from ninja import Schema

from tecken.settings import BASE_DIR
from tecken.web.api.site import api
from tests.web.api.people import key_of, person


def test_openapi_document_has_every_operation(client: Client) -> None:
    told = client.get("/api/openapi.json").json()
    assert set(told["paths"]["/api/tokens/"]) == {"get", "post"}
    assert "/api/uploads/upload/{upload_id}/cancel" in told["paths"]
    listing = told["paths"]["/api/uploads/"]["get"]
    assert {"page", "after", "sort", "reverse", "size", "created_at"} <= {
        p["name"] for p in listing["parameters"]
    }
    assert listing["security"] == [{"TokenPermission": []}]
    assert told["components"]["securitySchemes"]["TokenPermission"]["name"] == "Auth-Token"
    assert "security" not in told["paths"]["/api/syminfo/{file}/{id}"]["get"]


def test_api_root_redirects_to_docs(client: Client) -> None:
    assert client.get("/api/")["Location"] == "/api/docs"


def test_api_wrong_method_is_json_405(client: Client) -> None:
    reply = client.put("/api/tokens/")
    assert (reply.status_code, reply.json()) == (405, {"error": "Must use HTTP GET or POST"})
    assert reply["Allow"] == "GET, POST"


@pytest.mark.django_db
def test_head_of_list_has_headers_of_get_without_body(client: Client) -> None:
    headers = {"Auth-Token": key_of(person("a@example.com", "tokens.manage_tokens"))}
    got, head = (method("/api/tokens/", headers=headers) for method in (client.get, client.head))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"] == "application/json; charset=utf-8"
    assert head.headers["Vary"] == got.headers["Vary"]


@pytest.mark.django_db
def test_head_without_token_is_403(client: Client) -> None:
    assert client.head("/api/tokens/").status_code == 403


def test_head_without_get_is_405(client: Client) -> None:
    reply = client.head("/api/config/rollback/")
    assert (reply.status_code, reply["Allow"]) == (405, "POST")


def test_operations_are_in_docs(client: Client) -> None:
    documented = (BASE_DIR / "docs" / "api.md").read_text()
    paths = client.get("/api/openapi.json").json()["paths"]
    for path, operations in paths.items():
        url = re.escape(path).replace(r"\{", "<(?:int|str|hex|path):").replace(r"\}", ">")
        for method in operations:
            assert re.search(rf"(`|^## ){method.upper()} {url}([`?]|$)", documented, re.M), f"{method} {path}"


@pytest.mark.django_db
def test_body_that_is_not_json_is_400(client: Client) -> None:
    key = key_of(person("a@example.com", "tokens.manage_tokens"))
    reply = client.post("/api/tokens/", "{", content_type="application/json", headers={"Auth-Token": key})
    assert (reply.status_code, reply.json()) == (400, {"error": "Cannot parse request body"})


@pytest.mark.django_db
@pytest.mark.parametrize("body", ['"full"', "[]", "null", "7"])
def test_body_that_is_not_an_object_is_400(client: Client, body: str) -> None:
    """A text was read as an object without fields, and maintenance began with the defaults."""
    key = key_of(person("a@example.com", "runtimeconfig.change_option"))
    for method, path in (("put", "/api/config/maintenance/"), ("post", "/api/config/rollback/")):
        reply = getattr(client, method)(
            path, body, content_type="application/json", headers={"Auth-Token": key}
        )
        assert (reply.status_code, reply.json()) == (400, {"error": "Cannot parse request body"})
    assert client.get("/api/config/maintenance/", headers={"Auth-Token": key}).json()["full"] is None


@pytest.mark.django_db
def test_body_too_large_is_413(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    key = key_of(person("a@example.com", "tokens.manage_tokens"))
    reply = client.post(
        "/api/tokens/", " " * 101, content_type="application/json", headers={"Auth-Token": key}
    )
    assert (reply.status_code, reply.json()) == (413, {"error": "The body is larger than 100 bytes"})


@pytest.mark.django_db
def test_parameter_with_nul_is_400(client: Client) -> None:
    """PostgreSQL refuses it, which was a 500."""
    key = key_of(person("a@example.com", "upload.view_all_uploads", "runtimeconfig.view_option"))
    for address in (
        *("/api/uploads/?filename=a%00", "/api/uploads/?user=%00", "/api/uploads/files/?key=%00"),
        *("/api/downloads/missing/?debug_id=%00", "/api/syminfo/a%00/AB", "/api/config/history/?option=%00"),
    ):
        reply = client.get(address, headers={"Auth-Token": key})
        assert reply.status_code == 400
        assert reply.json()["error"].endswith(": a NUL character is in no name")


def test_schemas_have_unique_names() -> None:
    """Of two classes with one name the description has only one, for the operations of both."""
    kinds: list[type[Schema]] = [Schema]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    names = [kind.__name__ for kind in kinds if kind.__module__.startswith("tecken.web.")]
    assert names
    assert sorted(names) == sorted(set(names))


def test_exception_is_500_without_secrets(rf: RequestFactory) -> None:
    reply = api.on_exception(rf.get("/api/stats/"), RuntimeError("the password is swordfish"))
    assert (reply.status_code, json.loads(reply.content)) == (500, {"error": "Internal Server Error"})
