"""The OpenAPI document of the API, as the groups and operations of the page `/api/docs`.

django-ninja's own pages are no substitute. Redoc needs inline styles and scripts, which the site's
Content-Security-Policy forbids. Swagger works under it, but sends 456 kB where this page sends 13 kB, shows
nothing without scripts, and axe finds 120 serious barriers in it: contrast, nested buttons, no language.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

Schema = Mapping[str, Any]

BOUNDS = {"minimum": "at least", "maximum": "at most", "minLength": "at least", "maxLength": "at most"}
OF_LENGTH = ("minLength", "maxLength")
WORDS = {"string": "text", "boolean": "true or false", "object": "object", "null": "null"}
FORMATS = {"date-time": "time", "date": "date"}
DEEPEST = 5


class Field(NamedTuple):
    """Of a request. `place` is `path`, `query` or `body`."""

    name: str
    place: str
    kind: str
    required: bool
    about: SafeString


class Operation(NamedTuple):
    """`answer` is the shape of its JSON, '' where there is none. `opens`: it can be followed as a link."""

    name: str
    method: str
    path: str
    summary: str
    about: SafeString
    open_to_all: bool
    fields: tuple[Field, ...]
    curl: str
    status: int
    answer: str
    opens: bool


class Group(NamedTuple):
    name: str
    operations: tuple[Operation, ...]


class Description:
    """`site` is the address that examples have."""

    def __init__(self, told: Schema, site: str) -> None:
        self._told, self._site = told, site

    def groups(self) -> tuple[Group, ...]:
        found: dict[str, list[Operation]] = {}
        for path, methods in self._told["paths"].items():
            for method, operation in methods.items():
                made = self._operation(path, method.upper(), operation)
                found.setdefault(operation["tags"][0], []).append(made)
        return tuple(Group(name, tuple(operations)) for name, operations in found.items())

    def _operation(self, path: str, method: str, told: Schema) -> Operation:
        body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        status, reply = next(iter(told["responses"].items()))
        answer = reply.get("content", {}).get("application/json", {}).get("schema")
        return Operation(
            told["operationId"].removeprefix("tecken_api_"),
            method,
            path,
            told["summary"],
            _inline(told.get("description", "")),
            "security" not in told,
            (*self._parameters(told), *(self._body(body) if body else ())),
            self._curl(path, method, body, "security" in told),
            int(status),
            self._shape(answer) if answer else "",
            method == "GET" and "{" not in path,
        )

    def _parameters(self, told: Schema) -> Iterator[Field]:
        for one in told.get("parameters", ()):
            required, schema = bool(one.get("required")), one["schema"]
            yield Field(one["name"], one["in"], self._kind(schema), required, self._about(schema))

    def _body(self, schema: Schema) -> Iterator[Field]:
        found = self._resolved(schema)
        for name, one in found["properties"].items():
            required = name in found.get("required", ())
            yield Field(name, "body", self._kind(one), required, self._about(one))

    def _resolved(self, schema: Schema) -> Schema:
        """What a reference means, and the first of several that is not null."""
        if "$ref" in schema:
            return self._resolved(self._told["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        for one in schema.get("anyOf", schema.get("allOf", ())):
            if one.get("type") != "null":
                return self._resolved(one)
        return schema

    def _kind(self, schema: Schema) -> str:
        found = self._resolved(schema)
        if "const" in found or "enum" in found:
            return " or ".join(json.dumps(one) for one in found.get("enum", [found.get("const")]))
        if found.get("type") == "array":
            return f"list of {self._kind(found.get('items', {}))}"
        kind = FORMATS.get(found.get("format", "")) or str(found.get("type", "anything"))
        return WORDS.get(kind, kind)

    def _about(self, schema: Schema) -> SafeString:
        found = {**self._resolved(schema), **schema}
        parts = [found.get("description", "")]
        for bound, word in BOUNDS.items():
            if bound in found:
                parts.append(f"{word} {found[bound]}{' characters' if bound in OF_LENGTH else ''}")
        if found.get("default") is not None and found["default"] != "":
            parts.append(f"by default `{json.dumps(found['default'])}`")
        if found.get("examples"):
            parts.append(f"such as `{_bare(found['examples'][0])}`")
        return _inline("; ".join(filter(None, parts)))

    def _shape(self, schema: Schema, depth: int = 0) -> str:
        """JSON with the kind of each value in its place, and what it means behind it."""
        found = self._resolved(schema)
        if found.get("type") == "array":
            return f"[{self._shape(found.get('items', {}), depth)}, ...]"
        if "properties" not in found:
            return self._kind(schema)
        if depth > DEEPEST:
            return "{...}"
        rows = [
            f'{"  " * (depth + 1)}"{name}": {self._shape(one, depth + 1)}{_or_null(one)},{_comment(one)}'
            for name, one in found["properties"].items()
        ]
        return "\n".join(["{", *rows, f"{'  ' * depth}}}"])

    def _curl(self, path: str, method: str, body: Schema | None, token: bool) -> str:
        words = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), path)
        parts = [f"curl {'' if method == 'GET' else f'-X {method} '}{self._site}{words}"]
        if token:
            parts.append('-H "Auth-Token: $TECKEN_TOKEN"')
        if body:
            parts.append(f"-d '{json.dumps(self._example(self._resolved(body)))}'")
        return " \\\n  ".join(parts)

    def _example(self, schema: Schema) -> dict[str, Any]:
        """A body with what is wanted, and whatever else has an example or a default."""
        wanted, made = schema.get("required", ()), {}
        for name, one in schema["properties"].items():
            found = {**self._resolved(one), **one}
            if found.get("examples"):
                made[name] = found["examples"][0]
            elif found.get("default"):
                made[name] = found["default"]
            elif name in wanted:
                made[name] = next(iter(found.get("enum", ())), _any(found.get("type")))
        return made


def _any(kind: object) -> Any:
    return {"integer": 1, "string": "...", "boolean": True, "array": []}.get(str(kind), {})


def _or_null(schema: Schema) -> str:
    return " or null" if any(one.get("type") == "null" for one in schema.get("anyOf", ())) else ""


def _comment(schema: Schema) -> str:
    return f"  # {schema['description']}" if "description" in schema else ""


def _bare(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _inline(text: str) -> SafeString:
    """What is in backticks is code."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))  # noqa: S308 - is escaped
