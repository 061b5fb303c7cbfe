"""Identity of a caller: the address behind trusted proxies, and the owner of a token for counting."""

from __future__ import annotations

import logging
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from threading import Lock
from typing import NamedTuple

from cachetools import TTLCache
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest

from tecken import services
from tecken.accounts import tokens
from tecken.errors import Forbidden


def address(request: HttpRequest) -> str:
    """Return the client's address.

    Each trusted proxy appends the address that it received the request from. Earlier entries of the header
    come from the client, who can write anything there.
    """
    proxies: int = settings.TRUSTED_PROXIES
    parts = (part.strip() for part in request.headers.get("X-Forwarded-For", "").split(","))
    addresses = [part for part in parts if part]
    if proxies and addresses:
        return addresses[-min(proxies, len(addresses))]
    return str(request.META.get("REMOTE_ADDR", ""))


def network(address: str) -> str:
    """Return the network of one subscriber: the first 64 bits of an IPv6 address, a whole IPv4 address."""
    if ":" not in address:
        return address
    try:
        ip = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    return str(ip.ipv4_mapped or IPv6Network((ip, 64), strict=False))


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
