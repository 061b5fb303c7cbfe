"""Inspection of one Redis server: connection, permissions, writes, facts.

Reasons why a server cannot be used contain no password: the text of an error may quote one.

An account that may run the commands that Tecken sends to its servers, on keys with the names that it uses,
and those of ALWAYS, suffices. The site has such accounts in each test (`tests/support/site_account.py`).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import redis
from redis import exceptions
from redis.sentinel import MasterNotFoundError

from tecken import redisclient
from tecken.errors import redact_url
from tecken.monitoring.preflight.rules import Facts, Problem, fetch_facts

# Kind of error, id of the problem, its text, and whether it may pass by itself. The first match counts.
REASONS: tuple[tuple[type[BaseException], str, str, bool], ...] = (
    (exceptions.AuthenticationError, "E03", "it refuses our user name or password", False),
    (exceptions.AuthenticationWrongNumberOfArgsError, "E03", "it does not support user names", False),
    (exceptions.NoPermissionError, "E03", "our account may not select its databases", False),
    (exceptions.ResponseError, "E08", "it has too few databases; numbers 0 to 3 are used", False),
    (FileNotFoundError, "E12", "the file that REDIS_CA_FILE names is not there", False),
    (PermissionError, "E12", "the file that REDIS_CA_FILE names may not be read", False),
    (ssl.SSLCertVerificationError, "E12", "its certificate is not valid", False),
    (ssl.SSLError, "E12", "TLS failed; does this port speak TLS?", False),
    (socket.gaierror, "E02", "the name cannot be resolved", True),
    (ConnectionRefusedError, "E02", "connection refused", True),
    (exceptions.BusyLoadingError, "E02", "it is still loading its data", True),
    (exceptions.MaxConnectionsError, "E02", "it has no connection left for us", True),
    (MasterNotFoundError, "E02", "no sentinel returns the master", True),
)


def mask_url(url: str) -> str:
    """Return `redis://ted:***@host:6379`, without the number of the database."""
    scheme, _, location = redact_url(url).partition("?")[0].partition("://")
    hosts, slash, path = location.partition("/")
    master = slash + path.partition("/")[0] if scheme.startswith("sentinel") else ""
    return f"{scheme}://{hosts}{master}".replace("%2C", ",")


def format_address(url: str) -> str:
    """Return `host:6379`."""
    return mask_url(url).partition("//")[2].rpartition("@")[2]


def describe_failure(server: str, url: str, error: Exception) -> Problem:
    """Return the problem of a failed connection to `url`, as in the settings, from redis-py's error."""
    number, reason, transient = _find_reason(url, error)
    text = f"Failed to connect to Redis at {mask_url(url)}: {reason}"
    return Problem(number, "error", server, text, transient)


def _find_reason(url: str, error: Exception) -> tuple[str, str, bool]:
    """Return the id of the problem, its text, and whether it may pass by itself."""
    causes = list(_causes(error))
    for kind, number, text, transient in REASONS:
        for cause in causes:
            if isinstance(cause, kind):
                details = getattr(cause, "verify_message", "")
                return number, f"{text}: {details}" if details else text, transient
    is_timeout = isinstance(error, exceptions.TimeoutError)
    reason = "no answer in time" if is_timeout else "the connection was closed"
    return "E02", f"{reason}; {_tls_question(url)}", True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # redis-py wraps the errors of sockets and of TLS, which have the reason.
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tls_question(url: str) -> str:
    """Return a hint at TLS: when one side uses it, the connection times out or is closed without an error."""
    is_encrypted = url.startswith(("rediss", "sentinels"))
    return "does this port speak TLS?" if is_encrypted else "does this port require TLS (rediss://)?"


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


# Commands

Command = tuple[str, ...]


def _commands(text: str) -> tuple[Command, ...]:
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


ALWAYS = ("CLIENT", "DISCARD", "EXEC", "HELLO", "INFO", "MULTI", "SELECT")

CACHE = _commands(
    """
    GET cold:answer:x
    MGET cold:answer:x
    SET cold:answer:x 1
    DEL cold:answer:x
    UNLINK cold:answer:x
    EXPIRE cold:answer:x 1
    PEXPIRE cold:answer:x 1
    PEXPIREAT cold:answer:x 1
    PTTL cold:answer:x
    TYPE cold:answer:x
    RENAME missing:counts missing:taken
    EXISTS cold:answer:x
    INCRBY :1:x 1
    PUBLISH tecken:config x
    LPUSH convert x
    RPUSH convert x
    BRPOP convert 1
    RPOP convert
    LLEN convert
    LINDEX convert 0
    LTRIM convert 0 1
    LINDEX convert -1
    LRANGE convert 0 1
    LREM convert 1 x
    HSET unacked x 1
    HGET unacked x
    HMGET cold:frames:x 0
    HEXISTS missing:counts x
    HRANDFIELD missing:taken
    HSCAN jobs:dead 0
    HDEL unacked x
    HLEN unacked
    HGETALL unacked
    HINCRBY unacked x 1
    ZADD unacked_index 1 x
    ZCARD unacked_index
    ZCOUNT unacked_index 0 1
    ZREMRANGEBYSCORE unacked_index 0 1
    ZREM unacked_index x
    ZINCRBY store:hits:1 1 x
    ZREMRANGEBYRANK store:hits:1 0 -1000
    ZUNION 1 store:hits:1
    ZRANGE unacked_index 0 1
    ZRANGEBYSCORE unacked_index 0 1
    ZREVRANGEBYSCORE unacked_index 1 0
    SADD _kombu.binding.convert x
    SREM _kombu.binding.convert x
    SCARD cold:wanted:x
    SRANDMEMBER cold:absent:x 1
    SMEMBERS _kombu.binding.convert
    SCAN 0
    TIME
    EVAL x 0
    EVALSHA 0000000000000000000000000000000000000000 0
    SCRIPT LOAD x
    """
)
# These are not allowed in a transaction. "{}" is a channel of the settings.
CACHE_OUTSIDE = _commands(
    """
    PING
    WATCH unacked
    UNWATCH
    SUBSCRIBE {}
    UNSUBSCRIBE {}
    PSUBSCRIBE /1.celeryev/*
    PUNSUBSCRIBE /1.celeryev/*
    """
)
STORE = _commands(
    """
    GET :1:symbol:x
    MGET :1:symbol:x
    SET :1:symbol:x 1
    MSET :1:symbol:x 1
    DEL :1:symbol:x
    UNLINK :1:symbol:x
    PTTL :1:missing:x
    STRLEN :1:symbol:x
    DBSIZE
    SCAN 0
    """
)
STORE_OUTSIDE = _commands("PING")


def acl_rules(*groups: tuple[Command, ...]) -> list[str]:
    """Return an access control list that allows these commands and ALWAYS, and nothing else.

    See <https://redis.io/docs/latest/commands/acl-setuser/>.
    """
    names = {*ALWAYS, *(command[0] for group in groups for command in group)}
    return ["~*", "&*", *(f"+{name.lower()}" for name in sorted(names))]
