"""A worker that is killed takes no job with it.

kombu pops a message (BRPOP) and then, from the worker, writes down who has it: what was popped is gone when
the worker is killed in between. Here the two are one step of the server. What a worker waits for with BRPOP
is a bell, a list of one element that nobody misses: whoever puts a job into a queue rings it, and so does
whoever takes one while more are there. A bell that was not heard costs a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport import redis
from kombu.utils.json import dumps, loads
from redis.commands.core import Script

from tecken.jobs.keys import QUEUES, UNACKED, UNACKED_INDEX

FORGOTTEN_SECONDS = 3600
TAKE = (Path(__file__).parent / "take.lua").read_text()


def bell(queue: str) -> str:
    return f"jobs:bell:{queue}"


class Taking(redis.Channel):
    """Mixed into a Redis channel of kombu 5.7, whose names these are. Other queues than ours (answers to
    `celery inspect`) are read as before."""

    _taken: tuple[str, ...] = ()
    """The queues for whose bells it waits."""
    held: list[tuple[str, str, str]] | None = None
    """Queue, list and message of each job that `together` sends at its end."""

    def _brpop_start(self: Any, timeout: float | None = None) -> None:
        queues = tuple(self._queue_cycle.consume(len(self.active_queues)))
        self._taken = queues if set(queues) <= set(QUEUES) else ()
        if not self._taken:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        wait = self.brpop_timeout if timeout is None else timeout
        self.client.connection.send_command("BRPOP", *map(bell, queues), wait or 0)

    def _brpop_read(self: Any, **options: Any) -> bool:
        if not self._taken:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        try:
            self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        return bool(self._take())

    def _take(self: Any) -> bool:
        """Raises Empty."""
        lists = [
            (self._q_for_pri(queue, step), queue) for step in self.priority_steps for queue in self._taken
        ]
        with self.conn_or_acquire() as client:
            taken = Script(client, TAKE)(
                keys=[UNACKED, UNACKED_INDEX, *(name for name, _ in lists)],
                args=[time(), *(bell(queue) for _, queue in lists)],
            )
        if not taken:
            raise Empty
        queue = dict(lists)[taken[0].decode()]
        self._queue_cycle.rotate(queue)
        self.connection._deliver(loads(taken[1].decode()), queue)  # type: ignore[no-untyped-call]
        return True

    def _put(self: Any, queue: str, message: Any, **options: Any) -> None:
        if queue not in QUEUES:
            super()._put(queue, message, **options)  # type: ignore[no-untyped-call]
            return
        priority = self._get_message_priority(message, reverse=False)
        job = queue, self._q_for_pri(queue, priority), dumps(message)  # type: ignore[no-untyped-call]
        if self.held is None:
            self._send([job])
        else:
            self.held.append(job)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send all jobs that are put into our queues inside the block in one round trip at its end."""
        held: list[tuple[str, str, str]] = []
        self.held = held
        try:
            yield
        finally:
            self.held = None
        if held:
            self._send(held)

    def _send(self: Any, jobs: list[tuple[str, str, str]]) -> None:
        with self.conn_or_acquire() as client:
            pipe = client.pipeline(transaction=False)
            for _, waiting, message in jobs:
                pipe.lpush(waiting, message)
            for queue in {queue for queue, _, _ in jobs}:
                self._ring(queue, pipe)
            pipe.execute()

    def _do_restore_message(
        self: Any, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # type: ignore[no-untyped-call]
        if routing_key in QUEUES:
            self._ring(routing_key, pipe)

    def _ring(self, queue: str, pipe: Any) -> None:
        pipe.lpush(bell(queue), 1).ltrim(bell(queue), 0, 0).expire(bell(queue), FORGOTTEN_SECONDS)
