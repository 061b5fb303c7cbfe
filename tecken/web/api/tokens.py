"""Operations for the caller's own API tokens."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Router, Schema, Status

from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    DAYS,
    MANAGE,
    MAX_DAYS,
    MAX_NOTES,
    MAX_OVERLAP_DAYS,
    OVERLAP_DAYS,
    TOKEN_PERMISSIONS,
    check_reach,
    extend,
    issue,
    permission_name,
    rotate,
    select_permissions,
    token_of,
    tokens_of,
)
from tecken.web.api.openapi import TokenPermission, error_responses, grant_of

router = Router(tags=["tokens"], auth=TokenPermission(MANAGE))


class TokenInfo(Schema):
    """Token without its key."""

    id: int
    hint: str = Field(description="the first characters of the key")
    permissions: list[str]
    expires_at: datetime
    is_expired: bool
    notes: str
    created_at: datetime
    last_used_at: datetime | None
    rotated_to_id: int | None = Field(description="id of the token that takes its place")

    @staticmethod
    def resolve_permissions(token: Token) -> list[str]:
        """Return the value of `permissions`."""
        return sorted(map(permission_name, token.permissions.all()))


class TokenTotals(Schema):
    """Numbers of tokens by state."""

    all: int
    active: int
    expired: int


class TokenList(Schema):
    """List of tokens."""

    tokens: list[TokenInfo]
    permissions: list[str] = Field(description="permissions that a new token may have")
    totals: TokenTotals


class NewToken(Schema):
    """Body of a request for a token."""

    permissions: list[Annotated[str, Field(json_schema_extra={"enum": TOKEN_PERMISSIONS})]] = Field(
        min_length=1, examples=[["upload.upload_symbols"]]
    )
    days: int = Field(DAYS, ge=1, le=MAX_DAYS)
    notes: str = Field("", max_length=MAX_NOTES)


class IssuedToken(Schema):
    """New token with its key."""

    token: TokenInfo
    key: str = Field(description="only this response contains it")


class TokenExtension(Schema):
    """Body of a request to extend a token."""

    days: int = Field(DAYS, ge=1, le=MAX_DAYS)


class TokenRotation(Schema):
    """Body of a request to rotate a token."""

    overlap_days: int = Field(
        OVERLAP_DAYS, ge=0, le=MAX_OVERLAP_DAYS, description="days for which the old key stays valid"
    )


@router.get("", response=TokenList, summary="List your tokens")
def list_tokens(request: HttpRequest, state: Literal["active", "expired", "all"] = "active") -> object:
    """Return the caller's tokens."""
    tokens = tokens_of(grant_of(request).user)
    expired = Q(expires_at__lt=timezone.now())
    selected = {"active": tokens.exclude(expired), "expired": tokens.filter(expired), "all": tokens}[state]
    return {
        "tokens": selected.prefetch_related("permissions__content_type").order_by("-created_at", "-pk"),
        "permissions": sorted(grant_of(request).permissions.intersection(TOKEN_PERMISSIONS)),
        "totals": tokens.aggregate(
            all=Count("pk"), active=Count("pk", filter=~expired), expired=Count("pk", filter=expired)
        ),
    }


@router.post(
    "", response={HTTPStatus.CREATED: IssuedToken}, summary="Create a token; only the response has its key"
)
def create_token(request: HttpRequest, response: HttpResponse, payload: NewToken) -> object:
    """Create a token, with no more permissions than the caller has."""
    grant = grant_of(request)
    permissions = select_permissions(payload.permissions, grant.permissions)
    token, key = issue(grant.user, permissions, payload.days, payload.notes)
    response["Cache-Control"] = "no-store"
    return Status(HTTPStatus.CREATED, {"token": token, "key": key})


@router.post("token/{int:token_id}/extend", response=TokenInfo, summary="Extend a token")
def extend_token(request: HttpRequest, token_id: int, payload: TokenExtension) -> object:
    """Extend a token by `days` from its expiry, or from now if it has expired.

    A token cannot extend one that may do more than itself.
    """
    grant = grant_of(request)
    token = token_of(grant.user, token_id)
    check_reach(token, grant.permissions)
    extend(token, payload.days)
    return token


@router.post(
    "token/{int:token_id}/rotate",
    response={HTTPStatus.CREATED: IssuedToken},
    summary="Rotate a token; only the response has the new key",
    openapi_extra=error_responses(HTTPStatus.BAD_REQUEST),
)
def rotate_token(
    request: HttpRequest, response: HttpResponse, token_id: int, payload: TokenRotation
) -> object:
    """Create a token with the same permissions, notes and lifetime, and end the other one after an overlap.

    A token cannot rotate one that may do more than itself.
    """
    grant = grant_of(request)
    token = token_of(grant.user, token_id)
    check_reach(token, grant.permissions)
    successor, key = rotate(token, payload.overlap_days)
    response["Cache-Control"] = "no-store"
    return Status(HTTPStatus.CREATED, {"token": successor, "key": key})


@router.delete("token/{int:token_id}", response={HTTPStatus.NO_CONTENT: None}, summary="Delete a token")
def delete_token(request: HttpRequest, token_id: int) -> object:
    """Delete a token, which cannot be used from then on."""
    token_of(grant_of(request).user, token_id).delete()
    return Status(HTTPStatus.NO_CONTENT, None)
