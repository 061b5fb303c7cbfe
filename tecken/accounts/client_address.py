from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address, IPv6Network

from django.conf import settings
from django.http import HttpRequest


def address(request: HttpRequest) -> str:
    """The client's: each trusted proxy appended the address that it saw; what is before was only claimed."""
    proxies: int = settings.TRUSTED_PROXIES
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if proxies and seen:
        return seen[-min(proxies, len(seen))]
    return str(request.META.get("REMOTE_ADDR", ""))


def network(address: str) -> str:
    """What one subscriber has: of IPv6 the first 64 bits."""
    if ":" not in address:
        return address
    try:
        ip = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    return str(ip.ipv4_mapped or IPv6Network((ip, 64), strict=False))
