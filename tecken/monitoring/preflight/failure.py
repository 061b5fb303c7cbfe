"""Why a server cannot be used, in words that hold no password: an error's own text may quote one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from tecken.monitoring.preflight.rules import Problem
from tecken.redaction import redact_url

KNOWN: tuple[tuple[type[BaseException], str, str, bool], ...] = (
    (exceptions.AuthenticationError, "E03", "it refuses our user name or password", False),
    (exceptions.AuthenticationWrongNumberOfArgsError, "E03", "it knows no user names", False),
    (exceptions.NoPermissionError, "E03", "our account may not select its databases", False),
    (exceptions.ResponseError, "E08", "it has too few databases; numbers 0 to 3 are used", False),
    (FileNotFoundError, "E12", "the file that REDIS_CA_FILE names is not there", False),
    (PermissionError, "E12", "the file that REDIS_CA_FILE names may not be read", False),
    (ssl.SSLCertVerificationError, "E12", "its certificate does not hold", False),
    (ssl.SSLError, "E12", "TLS failed; does this port speak TLS?", False),
    (socket.gaierror, "E02", "the name cannot be resolved", True),
    (ConnectionRefusedError, "E02", "connection refused", True),
    (exceptions.BusyLoadingError, "E02", "it is still loading its data", True),
    (exceptions.MaxConnectionsError, "E02", "it has no connection left for us", True),
    (MasterNotFoundError, "E02", "no sentinel answers that knows the master", True),
)


def masked(url: str) -> str:
    """Return `redis://ted:***@host:6379`, without the number of the database."""
    scheme, _, place = redact_url(url).partition("?")[0].partition("://")
    hosts, slash, path = place.partition("/")
    master = slash + path.partition("/")[0] if scheme.startswith("sentinel") else ""
    return f"{scheme}://{hosts}{master}".replace("%2C", ",")


def address(url: str) -> str:
    """`host:6379`."""
    return masked(url).partition("//")[2].rpartition("@")[2]


def failure(server: str, url: str, error: Exception) -> Problem:
    """`url` as in the settings; `error` is what redis-py raised when it was to connect."""
    kind, why, transient = _why(url, error)
    return Problem(kind, "error", server, f"Failed to connect to Redis at {masked(url)}: {why}", transient)


def _why(url: str, error: Exception) -> tuple[str, str, bool]:
    """Its id, the words, and whether it may pass."""
    causes = list(_causes(error))
    for kind, number, text, transient in KNOWN:
        for cause in causes:
            if isinstance(cause, kind):
                details = getattr(cause, "verify_message", "")
                return number, f"{text}: {details}" if details else text, transient
    silent = isinstance(error, exceptions.TimeoutError)
    return "E02", f"{'no answer in time' if silent else 'the connection was closed'}; {_doubt(url)}", True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _doubt(url: str) -> str:
    """A server that speaks TLS, and one that does not, say so by silence."""
    encrypted = url.startswith(("rediss", "sentinels"))
    return "does this port speak TLS?" if encrypted else "does this port want TLS (rediss://)?"
