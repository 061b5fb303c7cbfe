"""Celery transport on a Redis server in memory.

Queues, priorities and unacknowledged jobs are the same as on a real server. There are no sockets to wait on,
so the transport polls every POLL_SECONDS.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import redis
from kombu.transport import redis as transport
from kombu.transport.virtual import Transport as PollingTransport
from kombu.utils.scheduling import FairCycle

from tecken.redisclient.pools import memory_pool

POLL_SECONDS = 0.02


class ChannelCycle(FairCycle):
    """Round robin over the channels, with the methods of kombu's socket poller, which do nothing here."""

    _in_protected_read = False

    def add(self, channel: Any) -> None:
        """Do nothing."""

    def discard(self, channel: Any) -> None:
        """Do nothing."""

    def _on_connection_disconnect(self, connection: Any) -> None: ...


class MemoryChannel(transport.Channel):
    """Channel whose connections lead to a server in memory."""

    def _get_pool(self, asynchronous: bool = False) -> redis.ConnectionPool:  # noqa: ARG002 - as kombu calls it
        client = self.connection.client
        return memory_pool(f"memory://{client.hostname}/{client.virtual_host}")


class MemoryTransport(transport.Transport):
    """Transport that polls its channels instead of sockets."""

    Channel = MemoryChannel
    implements = PollingTransport.implements

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        self.polling_interval = POLL_SECONDS  # type: ignore[assignment]
        self.cycle = ChannelCycle(self._drain_channel, self.channels, Empty)  # type: ignore[no-untyped-call]
