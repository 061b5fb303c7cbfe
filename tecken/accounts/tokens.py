"""What can be done with tokens: issue one, find whose it is, and say what it may do now."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex

from django.contrib.auth.models import Permission, User
from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from tecken.accounts.groups import GROUPS, named
from tecken.accounts.models import Token
from tecken.errors import Absent, BadInput, NotAllowed

KEY_BYTES = 32
# A key has 64 characters, and the rest is for a comment. What is longer is not hashed.
LONGEST_HEADER = 512
HINT_CHARACTERS = 8
USE_RECORDED_EVERY = timedelta(minutes=5)
ONE_OF = {"upload.upload_symbols", "upload.upload_try_symbols"}
"""They say which store is written to, so a token cannot have both."""


class UnknownToken(NotAllowed):
    """Nobody has this token."""


logger = logging.getLogger(__name__)


def issue(user: User, permissions: Collection[Permission], days: float, notes: str = "") -> tuple[Token, str]:
    """A new token and its key, which is kept nowhere: tell it now.

    Raises BadInput for permissions that exclude each other, NotAllowed for one that the user has not.
    """
    names = {spelt(permission) for permission in permissions}
    if names >= ONE_OF:
        raise BadInput("Invalid combination of permissions")
    if days <= 0:
        raise BadInput("A token must expire in the future")
    if "\0" in notes:  # PostgreSQL takes none
        raise BadInput("Notes are text, without a NUL character")
    for permission in permissions:
        if not user.has_perm(spelt(permission)):
            raise NotAllowed(f"{permission.name} not a valid permission")
    key = token_hex(KEY_BYTES)
    with transaction.atomic():
        token = Token.objects.create(
            user=user,
            digest=digest(key),
            hint=key[:HINT_CHARACTERS],
            expires_at=timezone.now() + timedelta(days=days),
            notes=notes,
        )
        token.permissions.set(permissions)
    return token, key


def find(header: str) -> Token:
    """Return the token of an Auth-Token header, with its user. Raises NotAllowed.

    One hash of a short text and one query by a unique index, also for a token that does not exist.
    """
    wanted = digest(key_of(header))
    token = Token.objects.select_related("user").filter(digest=wanted).first()
    if token is None or not compare_digest(token.digest, wanted):
        raise UnknownToken("API Token not matched")
    if token.is_expired:
        raise NotAllowed("API Token found but expired")
    if not token.user.is_active:
        raise NotAllowed("API Token matched but user not active")
    return token


def key_of(header: str) -> str:
    """Return the key in an Auth-Token header, without the comment. Raises UnknownToken for a long header."""
    if len(header) > LONGEST_HEADER:
        raise UnknownToken("API Token not matched")
    return header.split("-", 1)[0].strip()


def allowed(token: Token) -> frozenset[str]:
    """As `app.codename`: what the token was given and its owner still has."""
    given = token.permissions.select_related("content_type")
    return frozenset(map(spelt, given)) & frozenset(token.user.get_all_permissions())


def record_use(token: Token) -> None:
    """Written once in some minutes and token, however many processes see it; losing it fails no request."""
    now = timezone.now()
    long_ago = now - USE_RECORDED_EVERY
    if token.last_used_at is not None and token.last_used_at > long_ago:
        return
    due = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
    try:
        Token.objects.filter(due, pk=token.pk).update(last_used_at=now)
    except DatabaseError:
        logger.warning("The use of token %s was not recorded", token, exc_info=True)


def spelt(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def digest(key: str) -> str:
    """Slow hashes are for passwords that can be guessed. A key has 256 random bits: nobody tries them all,
    and who reads the database cannot get back from a digest to its key. Nor does the time that a lookup takes
    tell anything: a caller who changes a key changes the digest in a way that he cannot foresee."""
    return sha256(key.encode()).hexdigest()


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
