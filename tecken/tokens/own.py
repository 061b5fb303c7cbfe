"""What people do with tokens of their own, on a page or through the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.db.models import QuerySet
from django.utils import timezone

from tecken.errors import Absent, BadInput, NotAllowed
from tecken.tokens.groups import GROUPS, named
from tecken.tokens.models import Token

MANAGE = "tokens.manage_tokens"
GIVEN = sorted({permission for permissions in GROUPS.values() for permission in permissions})
"""Permissions that a token can carry."""
DAYS, MOST_DAYS = 365, 3650
MOST_NOTES = 2000


def tokens_of(user: User) -> QuerySet[Token]:
    return Token.objects.filter(user=user)


def token_of(user: User, number: int) -> Token:
    """Another's token is as absent as none. Raises Absent."""
    token = tokens_of(user).filter(pk=number).first()
    if token is None:
        raise Absent("Token not found")
    return token


def carried(names: Iterable[str], granted: Collection[str]) -> list[Permission]:
    """What a new token of somebody with `granted` may carry. Raises BadInput, NotAllowed."""
    wanted = list(names)
    for name in wanted:
        if name not in GIVEN:
            raise BadInput(f"No such permission: {name!r}; there are {', '.join(GIVEN)}")
        if name not in granted:
            raise NotAllowed(f"{name} not a valid permission")
    return list(named(wanted))


def extend(token: Token, days: int) -> None:
    """From its expiry, or from now where that is past. Raises BadInput beyond MOST_DAYS from now."""
    now = timezone.now()
    until = max(token.expires_at, now) + timedelta(days=days)
    if until > now + timedelta(days=MOST_DAYS):
        raise BadInput(f"A token can be extended to {MOST_DAYS} days from now")
    token.expires_at = until
    token.save(update_fields=["expires_at"])


def revoke(token: Token) -> None:
    """It ends now, and stays to be seen; what has ended already keeps its time."""
    token.expires_at = min(token.expires_at, timezone.now())
    token.save(update_fields=["expires_at"])
