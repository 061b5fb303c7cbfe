"""kombu's Redis transports with a reliable fetch of jobs, and without three of kombu's faults.

The fetch: kombu pops a message (BRPOP) and then writes from the worker that the worker has it. A message that
was popped is lost when the worker is killed in between. Here a script on the server does both (take.lua). A
script cannot block, so a worker waits with BRPOP for a bell, a list of at most one element. A process that
puts a job into a queue rings the queue's bell, and so does the script when more jobs are left. A lost bell
delays a job by one second, the timeout of BRPOP.

Fault 1: a worker that has lost its connection still acknowledges the jobs that end, and returns those that it
has not begun. In kombu 5.7 a channel without a connection has no server address any more and raises
AttributeError, which ends the worker. `SafeChannel` raises a lost connection instead, which Celery handles:
the message stays where it is and is delivered again.

Fault 2: a server that is full of keys that it may not evict refuses the record that a message was taken, and
kombu would drop the job. The script of `ReliableFetch` has written the record already, so `SafeQoS` ignores
the refusal.

Fault 3: a job that ends while the server does not answer cannot be acknowledged. Celery only logs that,
because a lost connection restarts its consumer, but kombu's connection for acknowledgements is not the one
that the consumer waits on. In kombu the message keeps its place among those that the worker may have at once.
Without a free place a worker waits for no job and uses no connection, so nothing ends that state. `SafeQoS`
frees the place: no heartbeat records the message any more, so that it is delivered again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.json import loads
from redis.commands.core import Script
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import OutOfMemoryError

from tecken.jobs.keys import PRIORITIES, QUEUES, UNACKED, UNACKED_INDEX, waiting

BELL_EXPIRES_SECONDS = 3600
TAKE_SCRIPT = (Path(__file__).parent / "take.lua").read_text()


def bell(queue: str) -> str:
    """Return the key of a queue's bell."""
    return f"jobs:bell:{queue}"


def ring(queue: str) -> list[tuple[Any, ...]]:
    """Return the commands that leave one element in a queue's bell: method of a pipeline, and arguments."""
    key = bell(queue)
    return [("lpush", key, 1), ("ltrim", key, 0, 0), ("expire", key, BELL_EXPIRES_SECONDS)]


class ReliableFetch(redis.Channel):
    """Mixin for a Redis channel of kombu 5.7, which overrides private methods of it.

    Queues that are not ours (replies to `celery inspect`) are read as in kombu. tests/jobs/test_kombu.py
    lists every private name, and fails when kombu changes one.
    """

    _awaited_queues: tuple[str, ...] = ()
    """Queues whose bells the current BRPOP waits for."""

    def _brpop_start(self: Any, timeout: float | None = None) -> None:
        queues = tuple(self._queue_cycle.consume(len(self.active_queues)))
        self._awaited_queues = queues if set(queues) <= set(QUEUES) else ()
        if not self._awaited_queues:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        seconds = self.brpop_timeout if timeout is None else timeout
        self.client.connection.send_command("BRPOP", *map(bell, queues), seconds or 0)

    def _brpop_read(self: Any, **options: Any) -> bool:
        if not self._awaited_queues:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        try:
            self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
        # Also after a timeout: the bell may have been lost.
        self._take()
        return True

    def _take(self: Any) -> None:
        """Take the next job from the server and deliver it. Raises Empty."""
        queues = {
            waiting(queue, priority): queue for priority in PRIORITIES for queue in self._awaited_queues
        }
        with self.conn_or_acquire() as client:
            taken = Script(client, TAKE_SCRIPT)(
                keys=[UNACKED, UNACKED_INDEX, *queues],
                args=[time(), *map(bell, queues.values())],
            )
        if not taken:
            raise Empty
        name, message = (part.decode() for part in taken)
        queue = queues[name]
        self._queue_cycle.rotate(queue)
        self.connection._deliver(loads(message), queue)  # type: ignore[no-untyped-call]

    def _put(self: Any, queue: str, message: Any, **options: Any) -> None:
        """Put a message into a queue and ring its bell, in kombu's batch if there is one."""
        # The bell rings after the message is in the list. Before it, a worker could wake up, find no job and
        # wait.
        super()._put(queue, message, **options)  # type: ignore[no-untyped-call]
        if queue not in QUEUES:
            return
        batch = options.get("_publish_batch")
        if batch is not None:
            for command in ring(queue):
                batch.add(*command)
            return
        with self.conn_or_acquire() as client:
            _append(client.pipeline(transaction=False), queue).execute()

    def _do_restore_message(
        self: Any, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # type: ignore[no-untyped-call]
        if routing_key in QUEUES:
            _append(pipe, routing_key)


def _append(pipe: Any, queue: str) -> Any:
    for name, *arguments in ring(queue):
        getattr(pipe, name)(*arguments)
    return pipe


# Transports


class SafeQoS(redis.QoS):
    """Messages that a worker has, also while the server is full or does not answer."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message that was taken."""
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            # Only the memory of this process has the record; the script has written the server's.
            super(redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        with self._freeing_place(delivery_tag):
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message, or return it to its queue."""
        with self._freeing_place(delivery_tag):
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    @contextmanager
    def _freeing_place(self, delivery_tag: str) -> Iterator[None]:
        """Free the place of a message whose end cannot be recorded, because the connection is lost."""
        try:
            yield
        except self.channel.connection_errors:
            self._delivered.pop(delivery_tag, None)
            raise


class SafeChannel:
    """Mixin for a channel that raises a connection error when it is used without a connection."""

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
