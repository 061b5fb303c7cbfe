from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.test import override_settings

from tecken import services
from tests.support.redis_server import free_port


@contextmanager
def queue_away() -> Iterator[None]:
    """Make the server of the queue's records unreachable in this process."""
    try:
        with override_settings(REDIS_QUEUE_URL=f"redis://127.0.0.1:{free_port()}/1"):
            services.discard_all()
            yield
    finally:
        services.discard_all()
