"""URL table with views that raise each kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from redis.exceptions import ConnectionError as RedisAway

from tecken import urls
from tecken.errors import RateLimited, TooLarge
from tecken.web.auth import open_page

handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


def raising(error: Exception) -> Callable[..., HttpResponse]:
    def view(_request: HttpRequest) -> NoReturn:
        raise error

    return view


urlpatterns = [
    path("help/mistake", raising(RuntimeError("the password is swordfish"))),
    path("help/database", raising(OperationalError("the password is swordfish"))),
    path("help/redis", raising(RedisAway("the password is swordfish"))),
    path("help/forbidden", raising(PermissionDenied("the password is swordfish"))),
    path("help/large", open_page(raising(TooLarge("The file is larger than 2 GB")))),
    path("help/limited", open_page(raising(RateLimited("Over the limit of 60 requests", 90, ("api",), ())))),
    path("help/odd", raising(SuspiciousOperation("the password is swordfish"))),
    *urls.urlpatterns,
]
