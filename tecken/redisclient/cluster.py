"""Client of a whole Redis Cluster, the connection pools of its nodes, and the map from slots to nodes.

redis-py's own cluster client keeps no deadline: while a node does not answer, a pipeline tries each of its
keys in turn, one timeout each. Here commands are sent to all nodes before any reply is read, so that all
together take one timeout at most. A node that has failed is skipped for PAUSE seconds.

Cluster specification: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import redis
from redis.client import Pipeline
from redis.commands.helpers import list_or_args
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MaxConnectionsError, MovedError

from tecken.redisclient.pools import Pool
from tecken.redisclient.urls import Address, Seeds

# Seconds for which a failed node is skipped.
PAUSE = 1.0
NO_ANSWER = (redis.ConnectionError, redis.TimeoutError)


class Command(NamedTuple):
    """Command with the key that determines its node."""

    key: bytes
    words: Sequence[Any]
    options: dict[str, Any]


# Precedes a command that another node has redirected.
ASKING = Command(b"", ["ASKING"], {})


class NodeBatch:
    """Commands for one node, and a connection for them."""

    def __init__(self, node: redis.Redis, commands: Sequence[Command]) -> None:
        self._node = node
        self._commands = commands
        self._connection: Any = None
        self._unread = False
        self.failure: redis.RedisError | None = None

    def send(self) -> None:
        """Send all commands. A failure is recorded in `failure`."""
        try:
            self._connection = self._node.connection_pool.get_connection()
            self._unread = True
            words = [command.words for command in self._commands]
            self._connection.send_packed_command(self._connection.pack_commands(words))
        except NO_ANSWER as error:
            self.failure = error

    def read(self, deadline: float) -> list[Any]:
        """Return the replies in order, errors included. After a failure, each of them is that failure."""
        if not self.failure:
            try:
                return self._read(deadline)
            except NO_ANSWER as error:
                self.failure = error
        return [self.failure] * len(self._commands)

    def close(self) -> None:
        """Release the connection."""
        # The next command on this connection would get the replies that are not read.
        if self._unread:
            self._connection.disconnect()
        if self._connection:
            self._node.connection_pool.release(self._connection)

    def _read(self, deadline: float) -> list[Any]:
        if not self._connection.can_read(timeout=max(0.0, deadline - monotonic())):
            raise redis.TimeoutError("no answer in time")
        replies = [self._parse_reply(command) for command in self._commands]
        self._unread = False
        return replies

    def _parse_reply(self, command: Command) -> Any:
        try:
            name, options = command.words[0], command.options
            return self._node.parse_response(self._connection, name, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            return error


class ClusterPool(Pool):
    """Pool of a cluster.

    It has no lock. Commands of several threads run side by side, and a child forked while another thread held
    a lock could never take it. A race costs one more query for the slots, or one more try of a failed node.
    """

    def __init__(self, seeds: Seeds, options: dict[str, Any]) -> None:
        self._options = options | seeds.account
        if seeds.tls:
            self._options |= {"connection_class": redis.SSLConnection, "ssl_ca_certs": seeds.ca_file or None}
        super().__init__(**self._options)
        self._timeout: float = options["socket_timeout"]
        self._seeds = seeds.addresses
        self._nodes: dict[Address, redis.Redis] = {}
        # By slot; empty until a node has answered.
        self._owners: list[Address | None] = []
        self._primaries: list[Address] = []
        # Failed nodes, and the time until which each is skipped.
        self._failed_until: dict[Address, float] = {}
        self._is_outdated = False
        self._refresh_at = 0.0

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies in order. Errors are items.

        Raises what redis-py raises while no node has returned the slots.
        """
        if not commands:
            return []
        self._refresh_if_due()
        replies = self._send_and_read([self._owners[key_slot(command.key)] for command in commands], commands)
        redirected_places = [place for place, reply in enumerate(replies) if isinstance(reply, AskError)]
        if redirected_places:
            second = self._redirect([(replies[place], commands[place]) for place in redirected_places])
            for place, reply in zip(redirected_places, second, strict=True):
                replies[place] = reply
        self._is_outdated |= any(isinstance(reply, ClusterDownError) for reply in replies)
        return replies

    def nodes(self) -> list[redis.Redis]:
        """Return a client of each node with slots. Raises as `ask` does."""
        self._refresh_if_due()
        return [self._node(address) for address in self._primaries]

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections to all nodes."""
        for node in list(self._nodes.values()):
            node.connection_pool.disconnect(inuse_connections)

    def _send_and_read(self, addresses: Sequence[Address | None], commands: Sequence[Command]) -> list[Any]:
        """Send all commands, then read all replies, so that nodes work at the same time."""
        shares: dict[Address | None, list[int]] = {}
        for place, address in enumerate(addresses):
            shares.setdefault(address, []).append(place)
        replies: list[Any] = [None] * len(commands)
        with ExitStack() as stack:
            batches = []
            for address, places in shares.items():
                if refusal := self._refusal(address):
                    _put(replies, places, [refusal] * len(places))
                elif address:
                    batch = NodeBatch(self._node(address), [commands[place] for place in places])
                    stack.callback(batch.close)
                    batch.send()
                    batches.append((address, places, batch))
            deadline = monotonic() + self._timeout
            for address, places, batch in batches:
                _put(replies, places, batch.read(deadline))
                self._record(address, batch.failure)
        return replies

    def _redirect(self, redirected: Sequence[tuple[AskError, Command]]) -> list[Any]:
        """Repeat redirected commands.

        ASK names the node that has one key of a moving slot, MOVED the new node of the slot.
        """
        addresses: list[Address] = []
        commands: list[Command] = []
        for error, command in redirected:
            address = error.host, error.port
            addresses += [address, address]
            commands += [ASKING, command]
            if isinstance(error, MovedError):
                self._owners[error.slot_id] = address
                self._is_outdated = True
        # The others are the replies to ASKING.
        return self._send_and_read(addresses, commands)[1::2]

    def _refusal(self, address: Address | None) -> redis.RedisError | None:
        """Return the error for a node that is skipped. After the pause, one caller may try it."""
        if address is None:
            return ClusterDownError("no node has this slot")
        now = monotonic()
        until = self._failed_until.get(address)
        if until is None:
            return None
        if now < until:
            return redis.ConnectionError("{}:{} is not asked, it has just failed".format(*address))
        self._failed_until[address] = now + PAUSE
        return None

    def _record(self, address: Address, failure: redis.RedisError | None) -> None:
        if failure is None:
            self._failed_until.pop(address, None)
        elif not isinstance(failure, MaxConnectionsError):
            self._failed_until[address] = monotonic() + PAUSE

    def _refresh_if_due(self) -> None:
        """Query the slots once per PAUSE while a node has failed: another node may have replaced it."""
        now = monotonic()
        if self._owners and not ((self._is_outdated or self._failed_until) and now > self._refresh_at):
            return
        # Set before the query, so that other threads do not query as well.
        self._refresh_at = now + PAUSE
        self._refresh(now + self._timeout)

    def _refresh(self, deadline: float) -> None:
        """Query one node after the other for the slots, until one has answered or the deadline has passed."""
        failure: redis.RedisError | None = redis.ConnectionError("every node has just failed: none is asked")
        for address in self._candidates():
            failure = self._query_slots(address)
            if failure is None or monotonic() > deadline:
                break
        if failure and not self._owners:
            raise failure

    def _query_slots(self, address: Address) -> redis.RedisError | None:
        try:
            ranges = self._node(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            self._record(address, error)
            return error
        self._store_slots(ranges, address)
        return None

    def _candidates(self) -> list[Address]:
        """Return the nodes to query in random order. Those that have failed are last."""
        now = monotonic()
        # Random, so that the processes of a fleet do not all query the same node.
        known = random.sample(self._primaries, len(self._primaries))
        free = [item for item in (*known, *self._seeds) if self._failed_until.get(item, 0.0) <= now]
        return sorted(dict.fromkeys(free), key=self._failed_until.__contains__)

    def _store_slots(self, ranges: Sequence[Any], source: Address) -> None:
        """Store the reply of CLUSTER SLOTS. A node without an address in it is the one that answered."""
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        primaries = []
        for first, last, (host, port, *_), *_replicas in ranges:
            address = host.decode() if host else source[0], port
            owners[first : last + 1] = [address] * (last + 1 - first)
            primaries.append(address)
        self._owners = owners
        self._primaries = list(dict.fromkeys(primaries))
        self._nodes = {item: node for item, node in self._nodes.items() if item in self._primaries}
        self._failed_until = {
            item: until for item, until in self._failed_until.items() if item in self._primaries
        }
        self._is_outdated = False

    def _node(self, address: Address) -> redis.Redis:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            pool = Pool(host=host, port=port, **self._options)
            node = self._nodes.setdefault(address, redis.Redis(connection_pool=pool))
        return node


def _put(replies: list[Any], places: Sequence[int], values: Sequence[Any]) -> None:
    for place, value in zip(places, values, strict=True):
        replies[place] = value


# Client

SCRIPTS = ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO")
FOR_ONE_SERVER = re.compile(
    "(ACL|CLIENT|CLUSTER|COMMAND|CONFIG|DEBUG|INFO|LATENCY|MEMORY|PUBLISH|PUBSUB|SCAN|SCRIPT|SLOWLOG)( .*)?"
)

T = TypeVar("T")


class Cluster(redis.Redis):
    """Client that sends each command to the node of its key.

    A command with several keys is split and sent to all their nodes side by side. It is not atomic. A node
    that does not answer is an error, even if others have answered; `mget_reachable` returns the other values
    then. A cluster has database 0 only.
    """

    connection_pool: ClusterPool

    def __init__(self, connection_pool: ClusterPool) -> None:
        super().__init__(connection_pool=connection_pool)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command with one key."""
        return self._each([(arguments, options)])[0]

    def pipeline(self, transaction: bool = False, shard_hint: None = None) -> Batch:  # noqa: ARG002
        """Return a batch, which is no transaction: its commands are for several nodes."""
        return Batch(self)

    def ask(self, commands: Iterable[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        """Return the replies to commands, as `ClusterPool.ask` does."""
        encoder: Any = self.get_encoder()
        named = [
            Command(encoder.encode(_key(arguments)), arguments, options) for arguments, options in commands
        ]
        return self.connection_pool.ask(named)

    def nodes(self) -> list[redis.Redis]:
        """Return a client of each node with slots."""
        return self.connection_pool.nodes()

    def mget(self, keys: Any, *more: Any) -> list[Any]:
        """Return values. Raises the error of the first node that failed."""
        names = list_or_args(keys, more)
        return [value for (value,) in self._each((["MGET", name], {}) for name in names)]

    def mget_reachable(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return values, None for those of failed nodes. Raises only if all nodes failed."""
        replies = self.ask((["MGET", key], {}) for key in keys)
        if all(isinstance(reply, Exception) for reply in replies):
            _raise_first(replies)
        return [None if isinstance(reply, Exception) else reply[0] for reply in replies]

    def mset(self, mapping: Mapping[Any, Any]) -> bool:
        """Set values; not in one step."""
        return all(self._each((["SET", key, value], {}) for key, value in mapping.items()))

    def delete(self, *names: Any) -> int:
        """Delete keys, and return how many there were."""
        return self._count("DEL", names)

    def unlink(self, *names: Any) -> int:
        """Unlink keys, and return how many there were."""
        return self._count("UNLINK", names)

    def exists(self, *names: Any) -> int:
        """Return how many of the keys exist."""
        return self._count("EXISTS", names)

    def flushdb(self, asynchronous: bool = False, **options: Any) -> bool:
        """Empty every node."""
        return all(self._everywhere(lambda node: node.flushdb(asynchronous, **options)))

    def flushall(self, asynchronous: bool = False, **options: Any) -> bool:
        """Empty every node."""
        return all(self._everywhere(lambda node: node.flushall(asynchronous, **options)))

    def dbsize(self, **options: Any) -> int:
        """Return the number of keys of all nodes."""
        return sum(self._everywhere(lambda node: node.dbsize(**options)))

    def keys(self, pattern: Any = "*", **options: Any) -> list[Any]:
        """Return the matching keys of all nodes."""
        return list(chain.from_iterable(self._everywhere(lambda node: node.keys(pattern, **options))))

    def scan_iter(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """Yield the keys of all nodes."""
        for node in self.nodes():
            yield from node.scan_iter(*arguments, **options)

    def ping(self, **options: Any) -> bool:
        """Return whether every node answers."""
        return all(self._everywhere(lambda node: node.ping(**options)))

    def _count(self, word: str, names: Sequence[Any]) -> int:
        return sum(self._each(([word, name], {}) for name in names))

    def _each(self, commands: Iterable[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        replies = self.ask(commands)
        _raise_first(replies)
        return replies

    def _everywhere(self, call: Callable[[redis.Redis], T]) -> list[T]:
        return [call(node) for node in self.nodes()]


class Batch(Pipeline):
    """Pipeline of a Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send all commands, and return their replies in order."""
        stack, self.command_stack = self.command_stack, []
        replies = self._cluster.ask(stack)
        if raise_on_error:
            _raise_first(replies)
        return replies


def _key(arguments: Sequence[Any]) -> Any:
    """Return the key of a command. Raises DataError for a command without one."""
    name = str(arguments[0]).upper()
    if FOR_ONE_SERVER.fullmatch(name):
        raise redis.DataError(f"{name} is a command for one server: send it to each of nodes(client)")
    at = 3 if name in SCRIPTS else 1
    if len(arguments) <= at or (at == 3 and not int(arguments[2])):
        raise redis.DataError(f"{name} without a key: a cluster cannot tell which node to ask")
    return arguments[at]


def _raise_first(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
