"""Admission of request bodies, decided from the headers alone.

The decorators of a view (`tecken.http.decorators`) set two attributes on it. `body_limit()` returns the size
of the largest body that it accepts, in bytes. `admit(request)` raises when the caller may not send a body at
all; without it, every caller may.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, close_old_connections
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from tecken.errors import TeckenError, Unavailable
from tecken.front.bridge import Environ
from tecken.runtimeconfig import current
from tecken.runtimeconfig.snapshot import Subject
from tecken.storage import services as storage_services
from tecken.web.middleware import SLASHES

NO_VIEW_BYTES: Final = 64 << 10
"""Limit for a URL that has no view: enough to read a stray body whole."""


class BodyRule(NamedTuple):
    """Rule of one URL: `limit()` in bytes, and the check that a large body must pass before it is read."""

    limit: Callable[[], int]
    admit: Callable[[HttpRequest], object] | None = None


@lru_cache(maxsize=1024)
def rule_for(path: str) -> BodyRule:
    """Return the rule of a URL path. Views without a limit of their own have that of forms."""
    try:
        view, args, kwargs = resolve(SLASHES.sub("/", path))
    except Resolver404:
        return BodyRule(lambda: NO_VIEW_BYTES)
    admit = getattr(view, "admit", None)
    return BodyRule(getattr(view, "body_limit", _form_limit), admit and _with(admit, args, kwargs))


def refusal(admit: Callable[[HttpRequest], object], meta: Environ) -> TeckenError | None:
    """Return the error of the view's check or of a full disk, or None if the body may be read."""
    close_old_connections()
    try:
        with current.pinned(Subject()):
            admit(WSGIRequest(meta))
        storage_services.disk_space().check(int(meta.get("CONTENT_LENGTH") or 0))
    except TeckenError as error:
        return error
    except DatabaseError:
        return Unavailable("The database does not answer")
    finally:
        close_old_connections()
    return None


def _with(
    admit: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> Callable[[HttpRequest], object]:
    return lambda request: admit(request, *args, **kwargs)


def _form_limit() -> int:
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
