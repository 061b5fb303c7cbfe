"""Operations of the doctor: how the site received a request."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from ninja import Field, Router, Schema

from tecken.accounts.addresses import address
from tecken.errors import InvalidInput
from tecken.web.api.openapi import TokenPermission

VIEW, CHANGE = "runtimeconfig.view_option", "runtimeconfig.change_option"

router = Router(tags=["doctor"], auth=TokenPermission(VIEW, CHANGE))


class ReceivedRequest(Schema):
    """Request as the site received it through its proxies."""

    address: str = Field(description="the client's address, for which limits count")
    is_secure: bool = Field(description="whether the client used HTTPS")
    host: str = Field(description="the host name, with the port if it has one")
    forwarded_for: list[str] = Field(description="the addresses in X-Forwarded-For")
    trusted_proxies: int = Field(description="the setting TRUSTED_PROXIES of this process")


@router.get("request/", response=ReceivedRequest, summary="Show how the site received this request")
def show_request(request: HttpRequest) -> object:
    """Return the address, scheme and host name that the site has for this request."""
    header = request.headers.get("X-Forwarded-For", "")
    try:
        host = request.get_host()
    except DisallowedHost:
        raise InvalidInput("ALLOWED_HOSTS does not have the host name of this request") from None
    return {
        "address": address(request),
        "is_secure": request.is_secure(),
        "host": host,
        "forwarded_for": [part.strip() for part in header.split(",") if part.strip()],
        "trusted_proxies": settings.TRUSTED_PROXIES,
    }
