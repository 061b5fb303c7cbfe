"""Your own API tokens."""

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
    GIVEN,
    MANAGE,
    MOST_DAYS,
    MOST_NOTES,
    carried,
    extend,
    issue,
    spelt,
    token_of,
    tokens_of,
)
from tecken.web.api.auth import Permitted, grant_of

router = Router(tags=["tokens"], auth=Permitted(MANAGE))


class TokenRow(Schema):
    id: int
    hint: str = Field(description="the first characters of the key")
    permissions: list[str]
    expires_at: datetime
    is_expired: bool
    notes: str
    created_at: datetime
    last_used_at: datetime | None

    @staticmethod
    def resolve_permissions(token: Token) -> list[str]:
        return sorted(map(spelt, token.permissions.all()))


class Totals(Schema):
    all: int
    active: int
    expired: int


class Tokens(Schema):
    tokens: list[TokenRow]
    permissions: list[str] = Field(description="what a new token of yours may carry")
    totals: Totals


class NewToken(Schema):
    permissions: list[Annotated[str, Field(json_schema_extra={"enum": GIVEN})]] = Field(
        min_length=1, examples=[["upload.upload_symbols"]]
    )
    days: int = Field(DAYS, ge=1, le=MOST_DAYS)
    notes: str = Field("", max_length=MOST_NOTES)


class IssuedToken(Schema):
    token: TokenRow
    key: str = Field(description="shown now and never again")


class MoreDays(Schema):
    days: int = Field(DAYS, ge=1, le=MOST_DAYS)


@router.get("", response=Tokens, summary="List your tokens")
def list_tokens(request: HttpRequest, state: Literal["active", "expired", "all"] = "active") -> object:
    tokens = tokens_of(grant_of(request).user)
    expired = Q(expires_at__lt=timezone.now())
    shown = {"active": tokens.exclude(expired), "expired": tokens.filter(expired), "all": tokens}[state]
    return {
        "tokens": shown.prefetch_related("permissions__content_type").order_by("-created_at", "-pk"),
        "permissions": sorted(grant_of(request).permissions.intersection(GIVEN)),
        "totals": tokens.aggregate(
            all=Count("pk"), active=Count("pk", filter=~expired), expired=Count("pk", filter=expired)
        ),
    }


@router.post(
    "", response={HTTPStatus.CREATED: IssuedToken}, summary="Make a token; its key is told this once"
)
def create_token(request: HttpRequest, response: HttpResponse, payload: NewToken) -> object:
    """A token cannot make one that may do more than itself."""
    grant = grant_of(request)
    permissions = carried(payload.permissions, grant.permissions)
    token, key = issue(grant.user, permissions, payload.days, payload.notes)
    response["Cache-Control"] = "no-store"
    return Status(HTTPStatus.CREATED, {"token": token, "key": key})


@router.post("token/{int:token_id}/extend", response=TokenRow, summary="Let a token live longer")
def extend_token(request: HttpRequest, token_id: int, payload: MoreDays) -> object:
    """`days` count from its expiry, or from now where that is past."""
    token = token_of(grant_of(request).user, token_id)
    extend(token, payload.days)
    return token


@router.delete("token/{int:token_id}", response={HTTPStatus.NO_CONTENT: None}, summary="End a token now")
def delete_token(request: HttpRequest, token_id: int) -> object:
    token_of(grant_of(request).user, token_id).delete()
    return Status(HTTPStatus.NO_CONTENT, None)
