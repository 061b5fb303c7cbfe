"""One look at one server: is it there, does it let us do what we do, what does it say of itself."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import redis
from redis import exceptions

from tecken import redisclient
from tecken.monitoring.preflight.commands import Command
from tecken.monitoring.preflight.facts import Facts, facts
from tecken.monitoring.preflight.failure import failure
from tecken.monitoring.preflight.rules import Problem

EXPIRES_SOON = 14  # days


class Server(NamedTuple):
    """`commands` are what we ask of it; `outside`: what no transaction takes."""

    name: str
    url: str
    client: redis.Redis
    commands: Sequence[Command]
    outside: Sequence[Command] = ()


class Look(NamedTuple):
    """`facts`: where it tells them. `reached`: it took our name and password."""

    facts: Facts | None
    problems: tuple[Problem, ...]
    reached: bool


def look(server: Server, production: bool) -> Look:
    """Never raises; takes as long as the client's timeouts let each of a few round trips take."""
    with server.client:
        return _look(server, production)


def _look(server: Server, production: bool) -> Look:
    try:
        told = _told(server.client)
        nodes = redisclient.nodes(server.client)
        problems = [problem for node in nodes for problem in _of_connection(server, node, production)]
    except (redis.RedisError, OSError, ValueError) as error:
        return Look(None, (failure(server.name, server.url, error),), False)
    unknown = [] if told else [_untold(server)]
    return Look(told, tuple(dict.fromkeys([*problems, *unknown])), True)


def _of_connection(server: Server, node: redis.Redis, production: bool) -> Iterator[Problem]:
    """On the connection that INFO went over: with TLS a second one would cost as much as all the rest."""
    connection: Any = node.connection_pool.get_connection()
    try:
        yield from _refused(server, connection)
        yield from _exposed(server, connection) if production else ()
        yield from _expiring(server, connection)
    finally:
        connection.disconnect()  # it listens to channels
        node.connection_pool.release(connection)


def _told(client: redis.Redis) -> Facts | None:
    try:
        return facts(client)
    except exceptions.NoPermissionError:
        return None


def _untold(server: Server) -> Problem:
    text = f"{server.name} does not let us run INFO: nobody knows its policy, its role and what it keeps"
    return Problem("W03", "warning", server.name, text)


def _refused(server: Server, connection: Any) -> Iterator[Problem]:
    """Commands are queued in a transaction that is then discarded: all are judged, none is carried out."""
    replies = _asked(connection, [("MULTI",)])
    if not isinstance(replies[("MULTI",)], Exception):
        replies |= _asked(connection, [*server.commands, ("DISCARD",)])
    replies |= _asked(connection, server.outside)
    denied = [
        " ".join(command[:2])
        for command, reply in replies.items()
        if isinstance(reply, exceptions.NoPermissionError)
    ]
    if denied:
        text = f"the account for {server.name} may not run {', '.join(denied)}"
        yield Problem("E03", "error", server.name, text)
    yield from _no_writes(server, replies.values())


def _no_writes(server: Server, replies: Iterable[object]) -> Iterator[Problem]:
    for why in dict.fromkeys(filter(None, map(why_no_writes, replies))):
        yield Problem("E04", "error", server.name, f"{server.name} takes no writes: {why}", transient=True)


def why_no_writes(reply: object) -> str:
    """Return why a server refuses a write, in words of ours; empty for any other reply."""
    match reply:
        case exceptions.ReadOnlyError():
            return "it is a replica"
        case exceptions.OutOfMemoryError():
            return "its memory is full"
        case exceptions.ResponseError() if str(reply).startswith("MISCONF"):
            return "it could not write its data to disk"
        case exceptions.ResponseError() if str(reply).startswith("NOREPLICAS"):
            return "it has too few replicas"
    return ""


def _asked(connection: Any, commands: Sequence[Command]) -> dict[Command, object]:
    """In one round trip. An error of a single command is its answer."""
    if commands:
        connection.send_packed_command(connection.pack_commands(commands))
    return {command: _answer(connection) for command in commands}


def _answer(connection: Any) -> object:
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error


def _exposed(server: Server, connection: Any) -> Iterator[Problem]:
    if not connection.credential_provider and not connection.password:
        yield Problem("W11", "warning", server.name, f"{server.name} is used without a password")
    sock = connection._sock
    if sock.family == socket.AF_UNIX or isinstance(sock, ssl.SSLSocket):
        return
    if ipaddress.ip_address(sock.getpeername()[0]).is_global:
        text = f"{server.name} is reached over a public network without TLS; use rediss://"
        yield Problem("W11", "warning", server.name, text)


def _expiring(server: Server, connection: Any) -> Iterator[Problem]:
    sock = connection._sock
    if isinstance(sock, ssl.SSLSocket) and (certificate := sock.getpeercert()):
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86_400
        if days < EXPIRES_SOON:
            text = f"the certificate of {server.name} expires in {days:.0f} days"
            yield Problem("W12", "warning", server.name, text)
