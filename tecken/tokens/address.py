from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def address(request: HttpRequest) -> str:
    """The client's: each trusted proxy appended the address that it saw; what is before was only claimed."""
    proxies: int = settings.TRUSTED_PROXIES
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if proxies and seen:
        return seen[-min(proxies, len(seen))]
    return str(request.META.get("REMOTE_ADDR", ""))
