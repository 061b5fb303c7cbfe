"""kombu's Redis transports with a reliable fetch and without two of kombu's faults.

Fault 1: a worker that has lost its connection still acknowledges the jobs that end, and returns those that it
has not begun. In kombu 5.7 a channel without a connection has no server address any more and raises
AttributeError, which ends the worker. `SafeChannel` raises a lost connection instead, which Celery handles:
the message stays where it is and is delivered again.

Fault 2: a server that is full of keys that it may not evict refuses the record that a message was taken, and
kombu would drop the job. The script of tecken.jobs.reliable_fetch has written the record already, so
`SafeQoS` ignores the refusal.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import OutOfMemoryError

from tecken.jobs.reliable_fetch import ReliableFetch


class SafeQoS(redis.QoS):
    """Messages that a worker has, also while the server is full."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message that was taken."""
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            # The memory of this process, without the server.
            super(redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]


class SafeChannel:
    """Mixin for a channel whose use after the end of its connection is a connection error."""

    QoS = SafeQoS
    connection: Any

    def _connparams(self, *arguments: Any, **options: Any) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise ConnectionLost("the connection of this channel is gone")
        return super()._connparams(*arguments, **options)  # type: ignore[misc]


class Channel(ReliableFetch, SafeChannel, redis.Channel):
    """Channel to one server."""


class SentinelChannel(ReliableFetch, SafeChannel, redis.SentinelChannel):
    """Channel to the master that sentinels name."""


class Transport(redis.Transport):
    """Transport of `redis://` and `rediss://` URLs."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """Transport of `sentinel://` URLs."""

    Channel = SentinelChannel


OURS = f"{__name__}:{Transport.__name__}"
TRANSPORT_ALIASES.update(redis=OURS, rediss=OURS, sentinel=f"{__name__}:{SentinelTransport.__name__}")
