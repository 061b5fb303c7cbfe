from __future__ import annotations

import socket
import ssl

import pytest
from redis import exceptions
from redis.sentinel import MasterNotFoundError

from tecken.monitoring.preflight.inspect import describe_failure, format_address, mask_url

URL = "redis://ted:s3cret@host:6379/0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379", "redis://host:6379"),
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379"),
        ("rediss://ted:s3cret@host/1", "rediss://ted:***@host"),
        ("redis://s3cret@host", "redis://***@host"),
        (
            "sentinels://ted:s3cret@h:1%2Ci:2/main/0?sentinel_password=s3cret",
            "sentinels://ted:***@h:1,i:2/main",
        ),
        ("redis-cluster://:s3cret@a:1%2Cb:2/0", "redis-cluster://:***@a:1,b:2"),
    ],
)
def test_mask_url_removes_the_password(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_format_address_removes_the_account() -> None:
    assert format_address(URL) == "host:6379"


def caused_by(cause: Exception) -> Exception:
    error = exceptions.ConnectionError("s3cret")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number", "why", "transient"),
    [
        (exceptions.AuthenticationError("s3cret"), "E03", "refuses our user name or password", False),
        (exceptions.AuthenticationWrongNumberOfArgsError("x"), "E03", "does not support user names", False),
        (caused_by(FileNotFoundError(2, "s3cret")), "E12", "REDIS_CA_FILE names is not there", False),
        (caused_by(PermissionError(13, "s3cret")), "E12", "REDIS_CA_FILE names may not be read", False),
        (exceptions.NoPermissionError("s3cret"), "E03", "may not select its databases", False),
        (exceptions.ResponseError("DB index is out of range"), "E08", "too few databases", False),
        (caused_by(ssl.SSLCertVerificationError("s3cret")), "E12", "certificate is not valid", False),
        (caused_by(ssl.SSLError("s3cret")), "E12", "does this port speak TLS?", False),
        (caused_by(socket.gaierror("s3cret")), "E02", "cannot be resolved", True),
        (caused_by(ConnectionRefusedError("s3cret")), "E02", "connection refused", True),
        (exceptions.BusyLoadingError("s3cret"), "E02", "loading its data", True),
        (exceptions.MaxConnectionsError("s3cret"), "E02", "no connection left", True),
        (MasterNotFoundError("s3cret"), "E02", "no sentinel returns the master", True),
        (exceptions.TimeoutError("s3cret"), "E02", "no answer in time; does this port require TLS", True),
        (exceptions.ConnectionError("s3cret"), "E02", "was closed; does this port require TLS", True),
    ],
)
def test_describe_failure_does_not_quote_the_error(
    error: Exception, number: str, why: str, transient: bool
) -> None:
    problem = describe_failure("redis-cache", URL, error)
    assert problem.text.startswith("Failed to connect to Redis at redis://ted:***@host:6379: ")
    assert (problem.id, why in problem.text, problem.transient) == (number, True, transient)
    assert "s3cret" not in problem.text
