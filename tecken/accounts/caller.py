"""Owners of tokens, for counting only: they are not checked."""

from __future__ import annotations

import logging
from threading import Lock
from typing import NamedTuple

from cachetools import TTLCache
from django.db import DatabaseError

from tecken import services
from tecken.accounts import tokens
from tecken.errors import Forbidden

logger = logging.getLogger(__name__)
SECONDS = 30.0
MOST = 10_000


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
        self._owners: TTLCache[str, TokenOwner | None] = TTLCache(MOST, SECONDS)
        self._lock = Lock()

    def find(self, key: str) -> TokenOwner | None:
        """Return the owner of a key; None for an unknown key, and while the database does not answer."""
        try:
            name = tokens.digest(tokens.key_of(key))
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
        token = tokens.find(key)
    except Forbidden:
        return None
    tokens.record_use(token)
    return TokenOwner(token.pk, str(token.user_id))


@services.per_process
def token_owners() -> TokenOwners:
    """Return the cache of this process."""
    return TokenOwners()
