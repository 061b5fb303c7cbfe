"""API page: every operation, from the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from tecken.web.api.site import api
from tecken.web.auth import Group, SitePage, open_page
from tecken.web.pages.docs import site_address

JsonSchema = Mapping[str, Any]

BOUNDS = {"minimum": "at least", "maximum": "at most", "minLength": "at least", "maxLength": "at most"}
LENGTH_BOUNDS = ("minLength", "maxLength")
TYPE_NAMES = {"string": "text", "boolean": "true or false", "object": "object", "null": "null"}
FORMAT_NAMES = {"date-time": "time", "date": "date"}
PLACEHOLDERS = {"integer": 1, "string": "...", "boolean": True, "array": []}
MAX_DEPTH = 5
FILE_TYPE = "application/octet-stream"


class Parameter(NamedTuple):
    """Value in a request. `place` is `path`, `query` or `body`."""

    name: str
    place: str
    kind: str
    required: bool
    about: SafeString


class Operation(NamedTuple):
    """Operation of the API.

    `response` is the shape of its JSON, "" if there is none; `is_file`: it is a file instead. `is_link`: a
    browser can open the path.
    """

    name: str
    method: str
    path: str
    summary: str
    about: SafeString
    is_public: bool
    parameters: tuple[Parameter, ...]
    curl: str
    status: int
    response: str
    is_file: bool
    is_link: bool


class OperationGroup(NamedTuple):
    """Operations with the same tag."""

    name: str
    operations: tuple[Operation, ...]


@open_page
@require_safe
def show_api_docs(request: HttpRequest) -> HttpResponse:
    """Show all operations of the API."""
    site = site_address(request)
    return render(request, "api/page.html", {"site": site, "groups": _load_groups(site)})


@lru_cache(maxsize=4)
def _load_groups(site: str) -> tuple[OperationGroup, ...]:
    return Description(api.get_openapi_schema(), site).groups()


class Description:
    """Description of the API for readers, made from the OpenAPI document.

    Args:
        document: OpenAPI document.
        site: Address of the site, for the curl commands.
    """

    def __init__(self, document: JsonSchema, site: str) -> None:
        self._document, self._site = document, site

    def groups(self) -> tuple[OperationGroup, ...]:
        """Return all operations by tag, in the order of the document."""
        groups: dict[str, list[Operation]] = {}
        for url_path, methods in self._document["paths"].items():
            for method, description in methods.items():
                operation = self._operation(url_path, method.upper(), description)
                groups.setdefault(description["tags"][0], []).append(operation)
        return tuple(OperationGroup(name, tuple(operations)) for name, operations in groups.items())

    def _operation(self, url_path: str, method: str, description: JsonSchema) -> Operation:
        body = _json_schema(description.get("requestBody", {}))
        status, response = next(iter(description["responses"].items()))
        schema, is_file = _json_schema(response), FILE_TYPE in response.get("content", ())
        query = list(_required_in_query(description))
        return Operation(
            description["operationId"].removeprefix("tecken_web_api_"),
            method,
            url_path,
            description["summary"],
            _mark_code(description.get("description", "")),
            "security" not in description,
            (*self._parameters(description), *(self._body_fields(body) if body else ())),
            self._curl(url_path, method, body, query, is_file=is_file, needs_token="security" in description),
            int(status),
            self._shape(schema) if schema else "",
            is_file,
            method == "GET" and "{" not in url_path and not query,
        )

    def _parameters(self, description: JsonSchema) -> Iterator[Parameter]:
        for parameter in description.get("parameters", ()):
            required, schema = bool(parameter.get("required")), parameter["schema"]
            kind, about = self._kind(schema), self._about(schema)
            yield Parameter(parameter["name"], parameter["in"], kind, required, about)

    def _body_fields(self, schema: JsonSchema) -> Iterator[Parameter]:
        resolved = self._resolve(schema)
        for name, field in resolved["properties"].items():
            required = name in resolved.get("required", ())
            yield Parameter(name, "body", self._kind(field), required, self._about(field))

    def _resolve(self, schema: JsonSchema) -> JsonSchema:
        """Return the schema that a reference names, and the first alternative that is not null."""
        if "$ref" in schema:
            return self._resolve(self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        for alternative in schema.get("anyOf", schema.get("allOf", ())):
            if alternative.get("type") != "null":
                return self._resolve(alternative)
        return schema

    def _kind(self, schema: JsonSchema) -> str:
        resolved = self._resolve(schema)
        if "const" in resolved or "enum" in resolved:
            return " or ".join(json.dumps(value) for value in resolved.get("enum", [resolved.get("const")]))
        if resolved.get("type") == "array":
            return f"list of {self._kind(resolved.get('items', {}))}"
        kind = FORMAT_NAMES.get(resolved.get("format", "")) or str(resolved.get("type", "anything"))
        return TYPE_NAMES.get(kind, kind)

    def _about(self, schema: JsonSchema) -> SafeString:
        merged = {**self._resolve(schema), **schema}
        parts = [merged.get("description", "")]
        for bound, word in BOUNDS.items():
            if bound in merged:
                parts.append(f"{word} {merged[bound]}{' characters' if bound in LENGTH_BOUNDS else ''}")
        if merged.get("default") is not None and merged["default"] != "":
            parts.append(f"default `{json.dumps(merged['default'])}`")
        if merged.get("examples"):
            parts.append(f"such as `{_unquote(merged['examples'][0])}`")
        return _mark_code("; ".join(filter(None, parts)))

    def _shape(self, schema: JsonSchema, depth: int = 0) -> str:
        """Return JSON with the type of each value in its place and its description as a comment."""
        resolved = self._resolve(schema)
        if resolved.get("type") == "array":
            return f"[{self._shape(resolved.get('items', {}), depth)}, ...]"
        if "properties" not in resolved:
            return self._kind(schema)
        if depth > MAX_DEPTH:
            return "{...}"
        indent = "  " * (depth + 1)
        lines = [
            f'{indent}"{name}": {self._shape(field, depth + 1)}{_or_null(field)},{_comment(field)}'
            for name, field in resolved["properties"].items()
        ]
        return "\n".join(["{", *lines, f"{'  ' * depth}}}"])

    def _curl(
        self,
        url_path: str,
        method: str,
        body: JsonSchema | None,
        query: Sequence[str],
        *,
        is_file: bool,
        needs_token: bool,
    ) -> str:
        words = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), url_path)
        address = f"{self._site}{words}"
        if query:
            address = f"'{address}?{'&'.join(f'{name}={name.upper()}' for name in query)}'"
        # A site whose files are in a bucket answers with a redirect.
        options = "-L -O " if is_file else "" if method == "GET" else f"-X {method} "
        parts = [f"curl {options}{address}"]
        if needs_token:
            parts.append('-H "Auth-Token: $TECKEN_TOKEN"')
        if body:
            parts.append(f"-d '{json.dumps(self._example(self._resolve(body)))}'")
        return " \\\n  ".join(parts)

    def _example(self, schema: JsonSchema) -> dict[str, Any]:
        """Return a body that has each required field, and other fields that have an example or a default."""
        required, example = schema.get("required", ()), {}
        for name, field in schema["properties"].items():
            merged = {**self._resolve(field), **field}
            if merged.get("examples"):
                example[name] = merged["examples"][0]
            elif merged.get("default"):
                example[name] = merged["default"]
            elif name in required:
                placeholder = PLACEHOLDERS.get(str(merged.get("type")), {})
                example[name] = next(iter(merged.get("enum", ())), placeholder)
        return example


def _required_in_query(description: JsonSchema) -> Iterator[str]:
    for parameter in description.get("parameters", ()):
        if parameter["in"] == "query" and parameter.get("required"):
            yield parameter["name"]


def _json_schema(content: JsonSchema) -> JsonSchema | None:
    schema: JsonSchema | None = content.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _or_null(schema: JsonSchema) -> str:
    has_null = any(alternative.get("type") == "null" for alternative in schema.get("anyOf", ()))
    return " or null" if has_null else ""


def _comment(schema: JsonSchema) -> str:
    return f"  # {schema['description']}" if "description" in schema else ""


def _unquote(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _mark_code(text: str) -> SafeString:
    """Return a text as HTML, with the parts between backticks as code."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))  # noqa: S308 - is escaped


PAGE = SitePage(
    title="API",
    about="See each operation for programs.",
    group=Group.HELP,
    urls=[path("api/docs", show_api_docs, name="api-docs")],
)
