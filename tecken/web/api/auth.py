"""Who may ask: tecken.http.decorators' answer, in the words of django-ninja (so that the description tells it too)."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from ninja.security import APIKeyHeader

from tecken.errors import NotAllowed
from tecken.http.decorators import Grant, granted

ANY_UPLOAD = ("upload.upload_symbols", "upload.upload_try_symbols", "upload.view_all_uploads")


class Permitted(APIKeyHeader):
    """For whoever has one of these permissions; without any, for whoever we know."""

    param_name = "Auth-Token"

    def __init__(self, *permissions: str) -> None:
        super().__init__()
        self.permissions = permissions

    def authenticate(self, request: HttpRequest, key: str | None) -> Grant:  # noqa: ARG002 - the guard reads it
        grant = granted(request)
        if self.permissions and not grant.permissions.intersection(self.permissions):
            raise NotAllowed(f"This needs the permission {' or '.join(self.permissions)}")
        return grant


def grant_of(request: HttpRequest) -> Grant:
    return cast(Grant, request.auth)  # type: ignore[attr-defined]
