"""API tokens and the permissions that they carry: creation, lookup, effective permissions, revocation.

`TokenOwners` serves to count requests for the owner of a token; the token is not checked there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex
from threading import Lock
from typing import NamedTuple

from cachetools import TTLCache
from django.contrib.auth.models import Group, Permission, User
from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.utils import timezone

from tecken import services
from tecken.accounts.models import Token
from tecken.errors import Forbidden, InvalidInput, NotFound

logger = logging.getLogger(__name__)
GROUPS = {
    "Uploaders": ("upload.upload_symbols", "upload.upload_try_symbols", "tokens.manage_tokens"),
    "Source Readers": ("storage.view_sources", "tokens.manage_tokens"),
    "Upload Auditors": ("upload.view_all_uploads", "tokens.manage_tokens"),
    "Operators": (
        *("runtimeconfig.change_option", "runtimeconfig.view_option"),
        *("limits.view_usage", "tokens.manage_tokens"),
    ),
}


def make_groups(using: str = "default", **_signal: object) -> None:
    """Create the groups that do not exist and whose permissions all exist.

    Django calls this after the migrations of each application, so a group is created after those of the last
    application that it has a permission of.
    """
    for name, names in GROUPS.items():
        permissions = list(find_permissions(names, using))
        if len(permissions) == len(names):
            group, is_new = Group.objects.using(using).get_or_create(name=name)
            if is_new:
                group.permissions.set(permissions)


def find_permissions(names: Iterable[str], using: str = "default") -> QuerySet[Permission]:
    """Return permissions by `app.codename`, with their content types. Unknown names are left out."""
    full_name = Concat(F("content_type__app_label"), Value("."), F("codename"))
    permissions = Permission.objects.using(using).select_related("content_type")
    return permissions.alias(full_name=full_name).filter(full_name__in=list(names))


KEY_BYTES = 32
# A key has 64 characters, and a comment may follow it. A longer header is refused without hashing it.
LONGEST_HEADER = 512
HINT_CHARACTERS = 8
USE_RECORDED_EVERY = timedelta(minutes=5)
ONE_OF = {"upload.upload_symbols", "upload.upload_try_symbols"}
"""Permissions that select the storage to write to. A token cannot have both."""


class UnknownToken(Forbidden):
    """Token that does not exist."""


def issue(user: User, permissions: Collection[Permission], days: float, notes: str = "") -> tuple[Token, str]:
    """Create a token, and return it with its key. The key is not stored: show it now.

    Raises:
        InvalidInput: The permissions exclude each other, the token would be expired, or the notes have a NUL.
        Forbidden: The user does not have one of the permissions.
    """
    names = {permission_name(permission) for permission in permissions}
    if names >= ONE_OF:
        raise InvalidInput("Invalid combination of permissions")
    if days <= 0:
        raise InvalidInput("A token must expire in the future")
    # PostgreSQL cannot store NUL in a text.
    if "\0" in notes:
        raise InvalidInput("Notes are text, without a NUL character")
    for permission in permissions:
        if not user.has_perm(permission_name(permission)):
            raise Forbidden(f"{permission.name} not a valid permission")
    return _create(user, permissions, timezone.now() + timedelta(days=days), notes)


def _create(
    user: User, permissions: Iterable[Permission], expires_at: datetime, notes: str
) -> tuple[Token, str]:
    key = token_hex(KEY_BYTES)
    with transaction.atomic():
        token = Token.objects.create(
            user=user, digest=digest(key), hint=key[:HINT_CHARACTERS], expires_at=expires_at, notes=notes
        )
        token.permissions.set(permissions)
    return token, key


def find(header: str) -> Token:
    """Return the token of an Auth-Token header, with its user. Raises Forbidden.

    The cost is one hash of a short text and one query by a unique index, for an unknown token as well.
    """
    key_digest = digest(key_of(header))
    token = Token.objects.select_related("user").filter(digest=key_digest).first()
    # A database may compare texts regardless of case, so the digests are compared once more.
    if token is None or not compare_digest(token.digest, key_digest):
        raise UnknownToken("API Token not matched")
    if token.is_expired:
        raise Forbidden("API Token found but expired")
    if not token.user.is_active:
        raise Forbidden("API Token matched but user not active")
    return token


def key_of(header: str) -> str:
    """Return the key in an Auth-Token header, without the comment. Raises UnknownToken for a long header."""
    if len(header) > LONGEST_HEADER:
        raise UnknownToken("API Token not matched")
    return header.split("-", 1)[0].strip()


def effective_permissions(token: Token) -> frozenset[str]:
    """Return the permissions of the token that its owner still has, as `app.codename`."""
    permissions = token.permissions.select_related("content_type")
    return frozenset(map(permission_name, permissions)) & frozenset(token.user.get_all_permissions())


def record_use(token: Token) -> None:
    """Record that a token was used, at most once in USE_RECORDED_EVERY. A failure is logged only."""
    now = timezone.now()
    limit = now - USE_RECORDED_EVERY
    if token.last_used_at is not None and token.last_used_at > limit:
        return
    # The database compares once more, so that of several processes only the first one writes.
    is_due = Q(last_used_at=None) | Q(last_used_at__lte=limit)
    try:
        Token.objects.filter(is_due, pk=token.pk).update(last_used_at=now)
    except DatabaseError:
        logger.warning("Cannot record the use of token %s; it shows an older date", token, exc_info=True)


def permission_name(permission: Permission) -> str:
    """Return `app.codename`."""
    return f"{permission.content_type.app_label}.{permission.codename}"


def digest(key: str) -> str:
    """Return the digest under which a key is stored."""
    # Slow hashes protect passwords, which can be guessed. A key has 256 random bits, so trying them all is
    # impossible, and a digest does not lead back to its key. The time that a lookup takes reveals nothing:
    # a caller cannot foresee how a change of the key changes its digest.
    return sha256(key.encode()).hexdigest()


MANAGE = "tokens.manage_tokens"
TOKEN_PERMISSIONS = sorted({permission for permissions in GROUPS.values() for permission in permissions})
"""Permissions that a token can carry."""
DAYS, MAX_DAYS = 365, 3650
MAX_NOTES = 2000


def tokens_of(user: User) -> QuerySet[Token]:
    """Return the tokens of a user."""
    return Token.objects.filter(user=user)


def token_of(user: User, number: int) -> Token:
    """Return a token of the user. Raises NotFound, also for a token of another user."""
    token = tokens_of(user).filter(pk=number).first()
    if token is None:
        raise NotFound("Token not found")
    return token


def select_permissions(names: Iterable[str], granted: Collection[str]) -> list[Permission]:
    """Return the permissions with these names, for a new token of a user who has `granted`.

    Raises:
        InvalidInput: A token cannot carry the permission.
        Forbidden: The user does not have it.
    """
    selected = list(names)
    for name in selected:
        if name not in TOKEN_PERMISSIONS:
            raise InvalidInput(f"No such permission: {name!r}; there are {', '.join(TOKEN_PERMISSIONS)}")
        if name not in granted:
            raise Forbidden(f"{name} not a valid permission")
    return list(find_permissions(selected))


def extend(token: Token, days: int) -> None:
    """Extend a token by some days, from its end or, if it is over, from now.

    Raises InvalidInput when it would end later than MAX_DAYS from now.
    """
    now = timezone.now()
    until = max(token.expires_at, now) + timedelta(days=days)
    if until > now + timedelta(days=MAX_DAYS):
        raise InvalidInput(f"A token can be extended to {MAX_DAYS} days from now")
    token.expires_at = until
    token.save(update_fields=["expires_at"])


def revoke(token: Token) -> None:
    """End a token now. Its row stays; a token that has ended keeps its time."""
    token.expires_at = min(token.expires_at, timezone.now())
    token.save(update_fields=["expires_at"])


OVERLAP_DAYS, MAX_OVERLAP_DAYS = 1, 90


def rotate(token: Token, overlap_days: int = OVERLAP_DAYS) -> tuple[Token, str]:
    """Create a token that takes the place of another one, and return it with its key.

    It has the permissions, the notes and the lifetime of the other one, counted from now. The other one can
    be used for `overlap_days` more, at most until it would have expired.

    Raises InvalidInput for a token that has ended or was rotated already.
    """
    now = timezone.now()
    with transaction.atomic():
        # Locked, so that of two rotations at the same time only one finds the token without a successor.
        row = Token.objects.select_for_update().get(pk=token.pk)
        if row.rotated_to_id is not None:
            raise InvalidInput(f"Token {row} was rotated already, to {row.rotated_to}")
        if row.is_expired:
            raise InvalidInput(f"Token {row} has ended: extend it first, or create another one")
        lifetime = min(row.expires_at - row.created_at, timedelta(days=MAX_DAYS))
        successor, key = _create(row.user, row.permissions.all(), now + lifetime, row.notes)
        expires_at = min(row.expires_at, now + timedelta(days=overlap_days))
        # The condition holds where the database has no locks of rows, as SQLite.
        free = Token.objects.filter(pk=row.pk, rotated_to=None)
        if not free.update(rotated_to=successor, expires_at=expires_at):
            raise InvalidInput(f"Token {row} was rotated already")
    token.refresh_from_db()
    return successor, key


def check_reach(token: Token, granted: Collection[str]) -> None:
    """Raise Forbidden if a token permits more than a caller, who has `granted`, may do.

    Such a caller gets neither a new key nor more days for the token.
    """
    for permission in token.permissions.select_related("content_type"):
        if permission_name(permission) not in granted:
            raise Forbidden(f"{permission_name(permission)} not a valid permission")


# Owners of tokens

OWNER_SECONDS = 30.0
MAX_OWNERS = 10_000


class TokenOwner(NamedTuple):
    """Numbers of a token and of its owner."""

    token: int
    user: str


class TokenOwners:
    """Cache of the owners of tokens.

    It queries the database once in SECONDS for each token, and remembers unknown tokens as well. Otherwise a
    client with an unknown token would cost one query per request.
    """

    def __init__(self) -> None:
        self._owners: TTLCache[str, TokenOwner | None] = TTLCache(MAX_OWNERS, OWNER_SECONDS)
        self._lock = Lock()

    def find(self, key: str) -> TokenOwner | None:
        """Return the owner of a key; None for an unknown key, and while the database does not answer."""
        try:
            name = digest(key_of(key))
        except Forbidden:
            return None
        with self._lock:
            if name in self._owners:
                return self._owners[name]
        # The query runs outside the lock: a slow database must not stop requests with cached owners.
        try:
            owner = _find_owner(key)
        except DatabaseError as error:
            logger.warning("Cannot find the owner of a token: %s; it counts for its address", error)
            return None
        with self._lock:
            self._owners[name] = owner
        return owner


def _find_owner(key: str) -> TokenOwner | None:
    try:
        token = find(key)
    except Forbidden:
        return None
    record_use(token)
    return TokenOwner(token.pk, str(token.user_id))


@services.per_process
def token_owners() -> TokenOwners:
    """Return the cache of this process."""
    return TokenOwners()
