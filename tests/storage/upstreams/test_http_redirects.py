"""Redirects of HTTP upstreams to hosts of our own network."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import httpcore
import pytest
import stamina

from tecken.errors import AccessDenied, Unavailable
from tecken.storage.upstreams import http
from tecken.storage.upstreams.addresses import is_private_literal
from tecken.storage.upstreams.http import ATTEMPTS, HttpTransport
from tests.support.http_upstream import HttpUpstream, Reply

pytest_plugins = ["tests.support.upstreams"]

BODY = b"a file"
PUBLIC = "93.184.215.14"
ELSEWHERE = "9.9.9.9"


class _Public(httpcore.NetworkStream):
    """Connection to a test server that claims another address."""

    def __init__(self, stream: httpcore.NetworkStream, address: str) -> None:
        self._stream = stream
        self._address = address

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return (self._address, 80) if info == "server_addr" else self._stream.get_extra_info(info)


class Internet(httpcore.NetworkBackend):
    """Network in which the test server has every name and address, the first of `addresses` if not its own.

    A name that is resolved before the connection has all of `addresses`. `connected` has what connections
    were made to.
    """

    def __init__(self, upstream: HttpUpstream) -> None:
        self._port = int(upstream.url.rpartition(":")[2].rstrip("/"))
        self._sockets = httpcore.SyncBackend()
        self.addresses = [PUBLIC]
        self.refused: set[str] = set()
        self.connected: list[str] = []

    def resolve(self, host: str, _port: int) -> list[str]:
        if host == "unknown.example":
            raise socket.gaierror("Name or service not known")
        try:
            socket.inet_pton(socket.AF_INET, host)
        except OSError:
            return self.addresses
        return [host]

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self.connected.append(host)
        if host in self.refused:
            raise httpcore.ConnectError("Connection refused")
        stream = self._sockets.connect_tcp("127.0.0.1", self._port, timeout)
        return _Public(stream, self.resolve(host, port)[0])


@pytest.fixture(autouse=True)
def _no_waiting_between_attempts() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield


@pytest.fixture
def internet(upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch) -> Internet:
    found = Internet(upstream)
    monkeypatch.setattr(http, "resolve", found.resolve)
    upstream.script["/target"] = Reply(body=BODY)
    return found


def read(internet: Internet, *paths: str, base: str = "http://symbols.example/") -> bytes:
    """Return the last of these files, all of one upstream."""
    found = b""
    with closing(HttpTransport(base, sockets=internet)) as transport:
        for path in paths:
            with transport.get(path) as chunks:
                found = b"".join(chunks)
    return found


def fetch(internet: Internet, location: str, upstream: HttpUpstream) -> bytes:
    """Fetch a file of an upstream on the internet that redirects to `location`."""
    upstream.script["/file"] = Reply(302, headers={"Location": location})
    return read(internet, "file")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "100.64.0.1"),
        *(
            "[::1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:10.0.0.1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
        ),
        *("127.1", "2130706433", "0x7f.1"),
    ],
)
def test_redirect_to_a_private_address_is_refused_without_a_connection(
    internet: Internet, upstream: HttpUpstream, host: str
) -> None:
    with pytest.raises(AccessDenied, match=r"refused: redirected to .*, which is no host of"):
        fetch(internet, f"http://{host}/target", upstream)
    assert internet.connected == ["symbols.example"]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "::1"], ["169.254.169.254", PUBLIC]])
@pytest.mark.parametrize("host", ["rebound.example", "symbols.example:8080"])
def test_redirect_to_a_name_with_a_private_address_is_refused(
    internet: Internet,
    upstream: HttpUpstream,
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[str],
    host: str,
) -> None:
    """The name of the upstream itself is no exception: it may have another address by now."""
    upstream.script["/file"] = Reply(302, headers={"Location": f"http://{host}/target"})
    found = internet.resolve

    def rebind(name: str, port: int) -> list[str]:
        # The connection of the upstream itself stays open, and needs no name any more.
        internet.addresses = addresses
        return found(name, port)

    monkeypatch.setattr(http, "resolve", rebind)
    with pytest.raises(AccessDenied, match=f"redirected to {host.partition(':')[0]}, which"):
        read(internet, "target", "file")
    assert internet.connected == ["symbols.example"]


def test_redirect_tries_each_public_address(internet: Internet, upstream: HttpUpstream) -> None:
    internet.addresses, internet.refused = [PUBLIC, ELSEWHERE], {PUBLIC}
    assert fetch(internet, "http://other.example/target", upstream) == BODY
    assert internet.connected == ["symbols.example", PUBLIC, ELSEWHERE]
    internet.refused.add(ELSEWHERE)
    with pytest.raises(Unavailable, match="Connection refused"):
        fetch(internet, "http://other.example/target", upstream)


def test_redirect_to_a_name_that_does_not_exist_is_unavailable(
    internet: Internet, upstream: HttpUpstream
) -> None:
    with pytest.raises(Unavailable, match="Name or service not known"):
        fetch(internet, "http://unknown.example/target", upstream)


def test_redirect_by_a_public_host_behind_an_internal_upstream_is_refused(
    internet: Internet, upstream: HttpUpstream
) -> None:
    upstream.script["/file"] = Reply(302, headers={"Location": f"http://{PUBLIC}/again"})
    upstream.script["/again"] = Reply(302, headers={"Location": "http://10.0.0.2/target"})
    with pytest.raises(AccessDenied, match=r"redirected to 10\.0\.0\.2, which"):
        read(internet, "file", base="http://10.0.0.1/")


def test_redirect_within_our_own_network_is_followed(internet: Internet, upstream: HttpUpstream) -> None:
    upstream.script["/file"] = Reply(302, headers={"Location": "http://10.0.0.2/target"})
    assert read(internet, "file", base="http://10.0.0.1/") == BODY


@pytest.mark.parametrize(
    ("base", "location", "is_followed"),
    [
        ("http://symbols.example/", "http://10.0.0.1/target", False),
        ("http://symbols.example/", "http://other.example/target", True),
        ("http://10.0.0.2/", "http://10.0.0.1/target", True),
    ],
)
def test_redirect_through_a_proxy_checks_the_address_in_the_url(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch, base: str, location: str, is_followed: bool
) -> None:
    monkeypatch.setenv("http_proxy", upstream.url)
    monkeypatch.delenv("no_proxy", raising=False)
    upstream.script[f"{base}file"] = Reply(302, headers={"Location": location})
    upstream.script[location] = Reply(body=BODY)
    with closing(HttpTransport(base)) as transport:
        if is_followed:
            with transport.get("file") as chunks:
                assert b"".join(chunks) == BODY
        else:
            with pytest.raises(AccessDenied, match="no host of the public internet"), transport.get("file"):
                pytest.fail("opened")


@pytest.mark.parametrize("host", ["example.org", "8.8.8.8", "2606:4700::1", "", "." * 300, "a..b"])
def test_is_private_literal_of_other_hosts_is_false(host: str) -> None:
    assert not is_private_literal(host)
