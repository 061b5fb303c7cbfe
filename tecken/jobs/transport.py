"""kombu's transports on Redis, with two mends.

A worker that has lost its connection still acknowledges what it does, and gives back what it has not begun.
In kombu 5.7 a channel whose connection is gone then fails with an AttributeError, for it no longer knows the
server's address, and that ends the worker. As a lost connection it is what everybody expects: the message
stays where it is and comes back.

A message that was taken is noted as taken. kombu notes it after it was taken; tecken.jobs.taking does both in
one step. A server that is full of what it may not evict refuses kombu's note, and kombu would drop the job.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import OutOfMemoryError

from tecken.jobs.taking import Taking


class Notes(redis.QoS):
    """Which messages were taken."""

    def append(self, message: Any, delivery_tag: str) -> None:
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            super(redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]


class Known:
    """A channel's parameters, as long as there is a connection that knows them."""

    QoS = Notes
    connection: Any

    def _connparams(self, *arguments: Any, **options: Any) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise ConnectionLost("the connection of this channel is gone")
        return super()._connparams(*arguments, **options)  # type: ignore[misc]


class Channel(Taking, Known, redis.Channel):
    pass


class SentinelChannel(Taking, Known, redis.SentinelChannel):
    pass


class Transport(redis.Transport):
    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    Channel = SentinelChannel


OURS = f"{__name__}:{Transport.__name__}"
TRANSPORT_ALIASES.update(redis=OURS, rediss=OURS, sentinel=f"{__name__}:{SentinelTransport.__name__}")
