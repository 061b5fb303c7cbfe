"""Your own API tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal

from django.contrib.auth.models import Permission
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema, Status

from tecken.api.door import Permitted, grant_of
from tecken.errors import Absent, BadInput, NotAllowed
from tecken.tokens.groups import GROUPS, named
from tecken.tokens.models import Token
from tecken.tokens.service import issue, spelt

GIVEN = sorted({permission for permissions in GROUPS.values() for permission in permissions})
"""Permissions that a token can carry."""

router = Router(tags=["tokens"], auth=Permitted("tokens.manage_tokens"))


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
    permissions: list[str] = Field(min_length=1, examples=[["upload.upload_symbols"]])
    days: int = Field(365, ge=1, le=3650)
    notes: str = Field("", max_length=2000)


class IssuedToken(Schema):
    token: TokenRow
    key: str = Field(description="shown now and never again")


class MoreDays(Schema):
    days: int = Field(365, ge=1, le=3650)


@router.get("", response=Tokens, summary="List your tokens")
def list_tokens(request: HttpRequest, state: Literal["active", "expired", "all"] = "active") -> object:
    tokens = _own(request)
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
def create_token(request: HttpRequest, payload: NewToken) -> object:
    """A token cannot make one that may do more than itself."""
    grant = grant_of(request)
    permissions = _permissions(payload.permissions, grant.permissions)
    token, key = issue(grant.user, permissions, payload.days, payload.notes)
    return Status(HTTPStatus.CREATED, {"token": token, "key": key})


@router.post("token/{int:token_id}/extend", response=TokenRow, summary="Let a token live longer")
def extend_token(request: HttpRequest, token_id: int, payload: MoreDays) -> object:
    """`days` count from its expiry, or from now where that is past."""
    token = _one(request, token_id)
    token.expires_at = max(token.expires_at, timezone.now()) + timedelta(days=payload.days)
    token.save(update_fields=["expires_at"])
    return token


@router.delete("token/{int:token_id}", response={HTTPStatus.NO_CONTENT: None}, summary="End a token now")
def delete_token(request: HttpRequest, token_id: int) -> object:
    _one(request, token_id).delete()
    return Status(HTTPStatus.NO_CONTENT, None)


def _own(request: HttpRequest) -> QuerySet[Token]:
    return Token.objects.filter(user=grant_of(request).user)


def _one(request: HttpRequest, token_id: int) -> Token:
    """Another's token is as absent as none."""
    token = _own(request).filter(pk=token_id).first()
    if token is None:
        raise Absent("Token not found")
    return token


def _permissions(names: Iterable[str], granted: Collection[str]) -> list[Permission]:
    for name in names:
        if name not in GIVEN:
            raise BadInput(f"No such permission: {name!r}; there are {', '.join(GIVEN)}")
        if name not in granted:
            raise NotAllowed(f"{name} not a valid permission")
    return list(named(names))
