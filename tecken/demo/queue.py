"""Celery's queue on a server of this process: lists, priorities and what is unacknowledged as on Redis.

There are no sockets to wait on, so it is looked at every POLL_SECONDS.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import redis
from kombu.transport import redis as transport
from kombu.transport.virtual import Transport as Polling
from kombu.utils.scheduling import FairCycle

from tecken.demo import servers

POLL_SECONDS = 0.02


class Turns(FairCycle):
    """Asks one channel after the other; what a poller of sockets is told besides means nothing here."""

    _in_protected_read = False

    def add(self, channel: Any) -> None: ...

    def discard(self, channel: Any) -> None: ...

    def _on_connection_disconnect(self, connection: Any) -> None: ...


class Channel(transport.Channel):
    def _get_pool(self, asynchronous: bool = False) -> redis.ConnectionPool:  # noqa: ARG002 - as kombu calls it
        asked = self.connection.client
        return servers.pool(f"memory://{asked.hostname}/{asked.virtual_host}")


class Transport(transport.Transport):
    Channel = Channel
    implements = Polling.implements

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        self.polling_interval = POLL_SECONDS  # type: ignore[assignment]
        self.cycle = Turns(self._drain_channel, self.channels, Empty)  # type: ignore[no-untyped-call]
