"""A pool of connections for each node of a cluster, and which of them has which slot.

redis-py's own cluster client keeps no deadline: while a node is mute, a pipeline asks for each of its keys
in turn, one timeout each. Here all nodes are asked side by side for one timeout, and a node that cost one is
passed over for PAUSE seconds.

Cluster specification: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic
from typing import Any, NamedTuple

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MaxConnectionsError, MovedError

from tecken.redisclient.pool import Pool
from tecken.redisclient.urls import Address, Seeds

PAUSE = 1.0  # seconds
AWAY = (redis.ConnectionError, redis.TimeoutError)


class Command(NamedTuple):
    key: bytes
    words: Sequence[Any]
    options: dict[str, Any]


ASKING = Command(b"", ["ASKING"], {})  # before a command that another node has sent on


class NodeBatch:
    """One node's share of a question, and a connection for it."""

    def __init__(self, node: redis.Redis, commands: Sequence[Command]) -> None:
        self._node = node
        self._commands = commands
        self._connection: Any = None
        self._unread = False
        self.failure: redis.RedisError | None = None

    def send(self) -> None:
        try:
            self._connection = self._node.connection_pool.get_connection()
            self._unread = True
            words = [command.words for command in self._commands]
            self._connection.send_packed_command(self._connection.pack_commands(words))
        except AWAY as error:
            self.failure = error

    def read(self, deadline: float) -> list[Any]:
        """What answers were errors are in their places; after a failure all are."""
        if not self.failure:
            try:
                return self._read(deadline)
            except AWAY as error:
                self.failure = error
        return [self.failure] * len(self._commands)

    def close(self) -> None:
        """What nobody has read would be the answer to the next question."""
        if self._unread:
            self._connection.disconnect()
        if self._connection:
            self._node.connection_pool.release(self._connection)

    def _read(self, deadline: float) -> list[Any]:
        if not self._connection.can_read(timeout=max(0.0, deadline - monotonic())):
            raise redis.TimeoutError("no answer in time")
        answers = [self._answer(command) for command in self._commands]
        self._unread = False
        return answers

    def _answer(self, command: Command) -> Any:
        try:
            name, options = command.words[0], command.options
            return self._node.parse_response(self._connection, name, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            return error


class ClusterPool(Pool):
    """It holds no lock: questions go on side by side, and no fork can leave one taken. A race costs one more
    question for the slots, or one more try of a node that is away."""

    def __init__(self, seeds: Seeds, options: dict[str, Any]) -> None:
        self._options = options | seeds.account
        if seeds.tls:
            self._options |= {"connection_class": redis.SSLConnection, "ssl_ca_certs": seeds.ca_file or None}
        super().__init__(**self._options)
        self._timeout: float = options["socket_timeout"]
        self._seeds = seeds.addresses
        self._nodes: dict[Address, redis.Redis] = {}
        self._owners: list[Address | None] = []  # by slot; empty while nobody has told
        self._primaries: list[Address] = []
        self._away: dict[Address, float] = {}  # until when
        self._doubtful = False
        self._look_at = 0.0

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answer to each, in its place; an error is one, too.

        Raises what redis-py raises while no node has told who has the slots.
        """
        if not commands:
            return []
        self._look_when_due()
        answers = self._asked([self._owners[key_slot(command.key)] for command in commands], commands)
        sent_on = [place for place, answer in enumerate(answers) if isinstance(answer, AskError)]
        if sent_on:
            redirected = self._redirected([(answers[place], commands[place]) for place in sent_on])
            for place, answer in zip(sent_on, redirected, strict=True):
                answers[place] = answer
        self._doubtful |= any(isinstance(answer, ClusterDownError) for answer in answers)
        return answers

    def nodes(self) -> list[redis.Redis]:
        """Of every node that has slots. Raises as `ask` does."""
        self._look_when_due()
        return [self._node(address) for address in self._primaries]

    def disconnect(self, inuse_connections: bool = True) -> None:
        for node in list(self._nodes.values()):
            node.connection_pool.disconnect(inuse_connections)

    def _asked(self, addresses: Sequence[Address | None], commands: Sequence[Command]) -> list[Any]:
        """Everything is sent before anything is read."""
        shares: dict[Address | None, list[int]] = {}
        for place, address in enumerate(addresses):
            shares.setdefault(address, []).append(place)
        answers: list[Any] = [None] * len(commands)
        with ExitStack() as stack:
            lines = []
            for address, places in shares.items():
                if refusal := self._refusal(address):
                    _put(answers, places, [refusal] * len(places))
                elif address:
                    line = NodeBatch(self._node(address), [commands[place] for place in places])
                    stack.callback(line.close)
                    line.send()
                    lines.append((address, places, line))
            deadline = monotonic() + self._timeout
            for address, places, line in lines:
                _put(answers, places, line.read(deadline))
                self._note(address, line.failure)
        return answers

    def _redirected(self, sent_on: Sequence[tuple[AskError, Command]]) -> list[Any]:
        """ASK names who has one key of a slot that is on its way, MOVED who has the slot from now on."""
        addresses: list[Address] = []
        commands: list[Command] = []
        for error, command in sent_on:
            address = error.host, error.port
            addresses += [address, address]
            commands += [ASKING, command]
            if isinstance(error, MovedError):
                self._owners[error.slot_id] = address
                self._doubtful = True
        return self._asked(addresses, commands)[1::2]

    def _refusal(self, address: Address | None) -> redis.RedisError | None:
        """None: may be asked. After the pause one caller may."""
        if address is None:
            return ClusterDownError("no node has this slot")
        now = monotonic()
        until = self._away.get(address)
        if until is None:
            return None
        if now < until:
            return redis.ConnectionError("{}:{} is not asked, it has just failed".format(*address))
        self._away[address] = now + PAUSE
        return None

    def _note(self, address: Address, failure: redis.RedisError | None) -> None:
        if failure is None:
            self._away.pop(address, None)
        elif not isinstance(failure, MaxConnectionsError):
            self._away[address] = monotonic() + PAUSE

    def _look_when_due(self) -> None:
        """Another node may have taken the place of one that is away."""
        now = monotonic()
        if self._owners and not ((self._doubtful or self._away) and now > self._look_at):
            return
        self._look_at = now + PAUSE  # for the other threads
        self._look(now + self._timeout)

    def _look(self, deadline: float) -> None:
        """Asks one node after the other who has which slot, until one has answered or the time is over."""
        failure: redis.RedisError | None = redis.ConnectionError("every node has just failed: none is asked")
        for address in self._candidates():
            failure = self._look_at_node(address)
            if failure is None or monotonic() > deadline:
                break
        if failure and not self._owners:
            raise failure

    def _look_at_node(self, address: Address) -> redis.RedisError | None:
        try:
            ranges = self._node(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            self._note(address, error)
            return error
        self._learn(ranges, address)
        return None

    def _candidates(self) -> list[Address]:
        """Those that were away come last."""
        now = monotonic()
        known = random.sample(self._primaries, len(self._primaries))
        free = [each for each in (*known, *self._seeds) if self._away.get(each, 0.0) <= now]
        return sorted(dict.fromkeys(free), key=self._away.__contains__)

    def _learn(self, ranges: Sequence[Any], asked: Address) -> None:
        """`ranges` as CLUSTER SLOTS has them; a node that knows no address of its own is the one asked."""
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        primaries = []
        for first, last, (host, port, *_), *_replicas in ranges:
            address = host.decode() if host else asked[0], port
            owners[first : last + 1] = [address] * (last + 1 - first)
            primaries.append(address)
        self._owners = owners
        self._primaries = list(dict.fromkeys(primaries))
        self._nodes = {each: node for each, node in self._nodes.items() if each in self._primaries}
        self._away = {each: until for each, until in self._away.items() if each in self._primaries}
        self._doubtful = False

    def _node(self, address: Address) -> redis.Redis:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            pool = Pool(host=host, port=port, **self._options)
            node = self._nodes.setdefault(address, redis.Redis(connection_pool=pool))
        return node


def _put(answers: list[Any], places: Sequence[int], values: Sequence[Any]) -> None:
    for place, value in zip(places, values, strict=True):
        answers[place] = value
