"""Whose a token is, for counting only: it says nothing of what the token may do."""

from __future__ import annotations

import logging
from threading import Lock
from typing import NamedTuple

from cachetools import TTLCache
from django.db import DatabaseError

from tecken import services
from tecken.accounts import tokens
from tecken.errors import NotAllowed

logger = logging.getLogger(__name__)
SECONDS = 30.0
MOST = 10_000


class TokenOwner(NamedTuple):
    """The numbers of the token and of its owner."""

    token: int
    user: str


class TokenOwners:
    """Asks the database once in SECONDS for each token; one that nobody has is nobody's."""

    def __init__(self) -> None:
        self._known: TTLCache[str, TokenOwner | None] = TTLCache(MOST, SECONDS)
        self._lock = Lock()

    def who(self, key: str) -> TokenOwner | None:
        try:
            name = tokens.digest(tokens.key_of(key))
        except NotAllowed:
            return None
        with self._lock:
            if name in self._known:
                return self._known[name]
        try:
            found = _found(key)
        except DatabaseError as error:
            logger.warning("A token counts for its address: %s", error)
            return None
        with self._lock:
            self._known[name] = found
        return found


def _found(key: str) -> TokenOwner | None:
    try:
        token = tokens.find(key)
    except NotAllowed:
        return None
    tokens.record_use(token)
    return TokenOwner(token.pk, str(token.user_id))


@services.per_process
def seen() -> TokenOwners:
    return TokenOwners()
