"""Reasons why a server cannot be used, without passwords: the text of an error may quote one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from tecken.monitoring.preflight.rules import Problem
from tecken.redaction import redact_url

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
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tls_question(url: str) -> str:
    """Return a hint at TLS: when one side uses it, the connection times out or is closed without an error."""
    is_encrypted = url.startswith(("rediss", "sentinels"))
    return "does this port speak TLS?" if is_encrypted else "does this port require TLS (rediss://)?"
