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
    # `request.headers` would parse all headers of the request.
    if proxies and (forwarded := request.META.get("HTTP_X_FORWARDED_FOR")):
        addresses: list[str] = [part.strip() for part in forwarded.split(",") if part.strip()]
        if addresses:
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
