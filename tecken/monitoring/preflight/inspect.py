"""Inspection of one Redis server: whether it responds, what the account may do, and its facts."""

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
from tecken.monitoring.preflight.facts import Facts, fetch_facts
from tecken.monitoring.preflight.failure import describe_failure
from tecken.monitoring.preflight.rules import Problem

CERTIFICATE_WARNING_DAYS = 14


class Target(NamedTuple):
    """Server to inspect. `outside` are the commands that are not allowed in a transaction."""

    name: str
    url: str
    client: redis.Redis
    commands: Sequence[Command]
    outside: Sequence[Command] = ()


class Inspection(NamedTuple):
    """Result for one server. `facts` is None where INFO is forbidden; `reached`: it accepted the account."""

    facts: Facts | None
    problems: tuple[Problem, ...]
    reached: bool


def inspect_server(target: Target, is_production: bool) -> Inspection:
    """Inspect a server and close its client. Nothing is raised; a few round trips may each take a timeout."""
    with target.client:
        try:
            facts = _fetch_facts(target.client)
            nodes = redisclient.nodes(target.client)
            problems = [problem for node in nodes for problem in _inspect_node(target, node, is_production)]
        except (redis.RedisError, OSError, ValueError) as error:
            return Inspection(None, (describe_failure(target.name, target.url, error),), False)
    unknown = [] if facts else [_info_forbidden(target)]
    return Inspection(facts, tuple(dict.fromkeys([*problems, *unknown])), True)


def _inspect_node(target: Target, node: redis.Redis, is_production: bool) -> Iterator[Problem]:
    # The connection that INFO used: with TLS, a second one would cost as much as all the rest.
    connection: Any = node.connection_pool.get_connection()
    try:
        yield from _check_commands(target, connection)
        if is_production:
            yield from _check_exposure(target, connection)
        yield from _check_certificate(target, connection)
    finally:
        # It is subscribed to channels, so nothing else can use it.
        connection.disconnect()
        node.connection_pool.release(connection)


def _fetch_facts(client: redis.Redis) -> Facts | None:
    try:
        return fetch_facts(client)
    except exceptions.NoPermissionError:
        return None


def _info_forbidden(target: Target) -> Problem:
    text = f"{target.name} does not allow INFO: its eviction policy, role and persistence are unknown"
    return Problem("W03", "warning", target.name, text)


def _check_commands(target: Target, connection: Any) -> Iterator[Problem]:
    """Queue the commands in a transaction and discard it: the server judges each and carries out none."""
    replies = _send(connection, [("MULTI",)])
    # Without a transaction the commands would be carried out.
    if not isinstance(replies[("MULTI",)], Exception):
        replies |= _send(connection, [*target.commands, ("DISCARD",)])
    replies |= _send(connection, target.outside)
    denied = [
        " ".join(command[:2])
        for command, reply in replies.items()
        if isinstance(reply, exceptions.NoPermissionError)
    ]
    if denied:
        text = f"the account for {target.name} may not run {', '.join(denied)}"
        yield Problem("E03", "error", target.name, text)
    yield from _check_writes(target, replies.values())


def _check_writes(target: Target, replies: Iterable[object]) -> Iterator[Problem]:
    for reason in dict.fromkeys(filter(None, map(why_no_writes, replies))):
        text = f"{target.name} takes no writes: {reason}"
        yield Problem("E04", "error", target.name, text, transient=True)


def why_no_writes(reply: object) -> str:
    """Return why a server refuses a write, without the server's own text; empty for any other reply."""
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


def _send(connection: Any, commands: Sequence[Command]) -> dict[Command, object]:
    """Send all commands in one round trip and return the reply to each, which may be an error."""
    if commands:
        connection.send_packed_command(connection.pack_commands(commands))
    return {command: _read_reply(connection) for command in commands}


def _read_reply(connection: Any) -> object:
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error


def _check_exposure(target: Target, connection: Any) -> Iterator[Problem]:
    if not connection.credential_provider and not connection.password:
        yield Problem("W11", "warning", target.name, f"{target.name} is used without a password")
    sock = connection._sock
    if sock.family == socket.AF_UNIX or isinstance(sock, ssl.SSLSocket):
        return
    if ipaddress.ip_address(sock.getpeername()[0]).is_global:
        text = f"{target.name} is reached over a public network without TLS; use rediss://"
        yield Problem("W11", "warning", target.name, text)


def _check_certificate(target: Target, connection: Any) -> Iterator[Problem]:
    sock = connection._sock
    if isinstance(sock, ssl.SSLSocket) and (certificate := sock.getpeercert()):
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86_400
        if days < CERTIFICATE_WARNING_DAYS:
            text = f"the certificate of {target.name} expires in {days:.0f} days"
            yield Problem("W12", "warning", target.name, text)
