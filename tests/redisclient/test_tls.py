"""Servers, sentinels and a cluster whose certificates are checked: the authority is believed by name only."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import quote

import pytest
import redis

from tecken.redisclient import client
from tests.support.sentinel import wait_until
from tests.support.tls import Papers, TlsCluster, TlsSentinelPair, TlsServer, papers

Secured = TlsServer | TlsSentinelPair | TlsCluster
KINDS: dict[str, Callable[[Papers], Secured]] = {
    "server": TlsServer,
    "sentinels": TlsSentinelPair,
    "cluster": TlsCluster,
}


@pytest.fixture(scope="module")
def trusted() -> Iterator[Papers]:
    with papers() as made:
        yield made


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def believing(made: Papers, url: str) -> AbstractContextManager[redis.Redis]:
    return client(f"{url}?ssl_ca_certs={quote(str(made.authority))}", timeout=5, connect_timeout=5)


@pytest.mark.parametrize("kind", KINDS)
def test_tls_with_a_certificate_of_the_authority_connects(kind: str, trusted: Papers) -> None:
    with KINDS[kind](trusted) as secured, believing(trusted, secured.secure_url) as connected:
        assert connected.mset({"one": "1", "two": "2", "three": "3"})
        assert connected.mget("one", "two", "three") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("kind", KINDS)
def test_tls_without_the_authority_fails(kind: str, trusted: Papers) -> None:
    with (
        KINDS[kind](trusted) as secured,
        client(secured.secure_url, timeout=5, connect_timeout=5) as stranger,
        pytest.raises(redis.ConnectionError) as told,
    ):
        stranger.get("one")
    assert any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(told.value))


@pytest.mark.parametrize("kind", KINDS)
def test_tls_with_a_certificate_for_another_host_fails(kind: str) -> None:
    with (
        papers("127.0.0.2") as other,
        KINDS[kind](other) as secured,
        believing(other, secured.secure_url) as connected,
        pytest.raises(redis.ConnectionError) as told,
    ):
        connected.get("one")
    assert any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(told.value))


def test_tls_master_of_sentinels_is_reached(trusted: Papers) -> None:
    with TlsSentinelPair(trusted) as pair, believing(trusted, pair.secure_url) as connected:
        connected.set("key", "value")
        pair.master.kill()
        pair.wait_for_other()
        wait_until(lambda: bool(connected.set("key", "another")), 30, "a write to the new master")


def test_tls_node_of_a_cluster_is_reached(trusted: Papers) -> None:
    names = [f"key-{number}" for number in range(30)]
    with TlsCluster(trusted, replicas=1) as cluster, believing(trusted, cluster.secure_url) as connected:
        connected.mset(dict.fromkeys(names, "value"))
        cluster.servers[0].kill()
        wait_until(lambda: bool(connected.mset(dict.fromkeys(names, "value"))), 60, "writes to all nodes")


def test_tls_nodes_with_names_are_reached() -> None:
    names = [f"key-{number}" for number in range(30)]
    by_name = {"cluster_announce_hostname": "localhost", "cluster_preferred_endpoint_type": "hostname"}
    with papers("localhost") as shown, TlsCluster(shown, **by_name) as cluster:
        url = cluster.secure_url.replace("127.0.0.1", "localhost")
        with believing(shown, url) as connected:
            connected.mset(dict.fromkeys(names, "value"))
            assert connected.mget(names) == [b"value"] * len(names)


def test_tls_master_with_a_name_is_reached() -> None:
    with (
        papers("localhost") as shown,
        TlsSentinelPair(shown, host="localhost") as pair,
        believing(shown, pair.secure_url) as connected,
    ):
        assert connected.set("key", "value")
