"""Authentication of API operations by token or session, in the form that django-ninja documents."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from ninja.security import APIKeyHeader

from tecken.errors import Forbidden
from tecken.http.decorators import Grant, authenticate


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
