"""OpenAPI document: django-ninja's, with operations that are described by hand, and the errors of each.

Operations are authenticated by token or session. The views of symbolication and downloads do not use
django-ninja, because they get the most requests. Their descriptions are in `described_symbolication`,
`described_minidumps` and `described_downloads`.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from copy import deepcopy
from http import HTTPStatus
from typing import Any, cast

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.security import APIKeyHeader

from tecken.errors import Forbidden
from tecken.http.decorators import Grant, authenticate
from tecken.web.api import described_downloads as downloads
from tecken.web.api import described_minidumps as minidumps
from tecken.web.api import described_symbolication as symbolication
from tecken.web.api.schemas import STRING, Json


class TokenPermission(APIKeyHeader):
    """Requirement of one of these permissions, or of any valid token or session if none is given."""

    param_name = "Auth-Token"

    def __init__(self, *permissions: str) -> None:
        super().__init__()
        self.permissions = permissions

    def authenticate(self, request: HttpRequest, key: str | None) -> Grant:  # noqa: ARG002 - granted() reads it
        """Return the grant of the request.

        Raises:
            Forbidden: The token is not valid, or has none of the permissions.
        """
        # The header is not read from `key`: the guard of all views also accepts a session, and counts unknown
        # tokens.
        grant = authenticate(request)
        if self.permissions and not grant.permissions.intersection(self.permissions):
            raise Forbidden(f"This needs the permission {' or '.join(self.permissions)}")
        return grant


def grant_of(request: HttpRequest) -> Grant:
    """Return the grant that `TokenPermission` has found."""
    return cast(Grant, request.auth)  # type: ignore[attr-defined]


# Document

RETRY_AFTER: Json = {
    "Retry-After": {
        "description": "seconds until the request can succeed",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
ERROR: Json = {
    "title": "Error",
    "type": "object",
    "properties": {"error": {"type": "string", "description": "description of the error"}},
    "required": ["error"],
}
NOT_FOUND: Json = {
    "title": "NotFound",
    "type": "object",
    "properties": {**ERROR["properties"], "path": {"type": "string", "description": "the path of the URL"}},
    "required": ["error", "path"],
}
ERRORS = {
    HTTPStatus.BAD_REQUEST: "A parameter or the body is wrong; the text names it",
    HTTPStatus.FORBIDDEN: "No token, an unknown one, or one without the permission",
    HTTPStatus.NOT_FOUND: "The caller has nothing of this name or number",
    HTTPStatus.CONFLICT: "A newer version exists; nothing was changed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTPStatus.TOO_MANY_REQUESTS: "A limit is exceeded",
    HTTPStatus.SERVICE_UNAVAILABLE: "The site is under maintenance, or a server behind it does not answer",
}
RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def error_responses(*statuses: HTTPStatus) -> Json:
    """Return the `openapi_extra` of an operation with errors that do not follow from its parameters."""
    return {"responses": {int(status): _reference(status) for status in statuses}}


class DescribedAPI(NinjaAPI):
    """API whose OpenAPI document is valid and has the errors of each operation."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Return the OpenAPI document."""
        document = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        # A copy, because the errors are added to it each time that the document is made.
        document["paths"] = {
            **deepcopy(symbolication.PATHS),
            **deepcopy(minidumps.PATHS),
            **deepcopy(downloads.PATHS),
            **document["paths"],
        }
        for path, methods in document["paths"].items():
            for operation in methods.values():
                _complete(path, operation)
        document["components"]["schemas"] |= {
            **symbolication.SCHEMAS,
            **minidumps.SCHEMAS,
            **downloads.SCHEMAS,
            "Error": ERROR,
            "NotFound": NOT_FOUND,
        }
        document["components"]["responses"] = {_name(status): _response(status) for status in ERRORS}
        return document


def _complete(path: str, operation: Json) -> None:
    """Add the errors to an operation."""
    for parameter in operation["parameters"]:
        _correct(parameter)
    respond = _response_as_text if path in symbolication.TEXT_ERRORS else _reference
    added = {int(status): respond(status) for status in _error_statuses(path, operation)}
    operation["responses"] = {**operation["responses"], **added}


def _correct(parameter: Json) -> None:
    """Remove the parts of a parameter that OpenAPI 3.1 forbids.

    Examples of a parameter are a mapping there; django-ninja writes a list. And a query has no null: a
    parameter without a value is left out.
    """
    parameter.pop("examples", None)
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]


def _error_statuses(path: str, operation: Json) -> list[HTTPStatus]:
    """Return the errors that follow from the parameters of an operation."""
    statuses = list(RETRIED)
    if operation["parameters"] or "requestBody" in operation:
        statuses.append(HTTPStatus.BAD_REQUEST)
    if "security" in operation:
        statuses.append(HTTPStatus.FORBIDDEN)
    if "{" in path:
        statuses.append(HTTPStatus.NOT_FOUND)
    if "requestBody" in operation:
        statuses.append(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return sorted(statuses)


def _name(status: HTTPStatus) -> str:
    return status.phrase.title().replace(" ", "")


def _reference(status: HTTPStatus) -> Json:
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _response(status: HTTPStatus) -> Json:
    schema = "NotFound" if status == HTTPStatus.NOT_FOUND else "Error"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    response = {"description": ERRORS[status], "content": content}
    return {**response, "headers": RETRY_AFTER} if status in RETRIED else response


def _response_as_text(status: HTTPStatus) -> Json:
    response = _response(status)
    return {**response, "content": {"text/plain": {"schema": STRING}, **response["content"]}}
