"""Addresses of clients, behind proxies or not. Imports no model: log lines use it before Django is set up."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address, IPv6Network

from django.conf import settings
from django.http import HttpRequest


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
