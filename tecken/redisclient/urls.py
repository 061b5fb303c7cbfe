"""URLs that redis-py does not have: those of sentinels and clusters."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

PORT = 6379
SENTINEL_PORT = 26379

Address = tuple[str, int]


class Sentinels(NamedTuple):
    """Sentinels of a master.

    `account` is for the master, `own_account` for the sentinels. Each may have `username` and `password`.
    """

    addresses: tuple[Address, ...]
    master: str
    number: int
    account: dict[str, str]
    own_account: dict[str, str]
    tls: bool
    ca_file: str = ""


class Seeds(NamedTuple):
    """Nodes of a cluster, through which the others are found."""

    addresses: tuple[Address, ...]
    account: dict[str, str]
    tls: bool
    ca_file: str = ""


def sentinels(url: str) -> Sentinels | None:
    """Return the sentinels of `sentinel[s]://[[user]:password@]host[:port][,host[:port]...]/master[/number]`.

    Returns None for another scheme. The sentinels' own account is in the query: `?sentinel_password=...`.
    """
    split = urlsplit(url)
    if split.scheme not in ("sentinel", "sentinels"):
        return None
    master, _, number = split.path.strip("/").partition("/")
    return Sentinels(
        addresses=_addresses(split, SENTINEL_PORT),
        master=unquote(master),
        number=int(number or 0),
        account=_account(split),
        own_account=_credentials(
            _query_value(split, "sentinel_username"), _query_value(split, "sentinel_password")
        ),
        tls=split.scheme == "sentinels",
        ca_file=_query_value(split, "ssl_ca_certs"),
    )


def seeds(url: str) -> Seeds | None:
    """Return the seeds of `redis[s]-cluster://[[user]:password@]host[:port][,host[:port]...]`.

    Returns None for another scheme.
    """
    split = urlsplit(url)
    if split.scheme not in ("redis-cluster", "rediss-cluster"):
        return None
    return Seeds(
        addresses=_addresses(split, PORT),
        account=_account(split),
        tls=split.scheme == "rediss-cluster",
        ca_file=_query_value(split, "ssl_ca_certs"),
    )


def _addresses(split: SplitResult, port: int) -> tuple[Address, ...]:
    hosts = split.netloc.rpartition("@")[2]
    parts = [urlsplit(f"//{host}") for host in unquote(hosts).split(",")]
    return tuple((part.hostname or "", part.port or port) for part in parts)


def _account(split: SplitResult) -> dict[str, str]:
    name, _, password = split.netloc.rpartition("@")[0].partition(":")
    return _credentials(unquote(name), unquote(password))


def _query_value(split: SplitResult, name: str) -> str:
    return parse_qs(split.query).get(name, [""])[0]


def _credentials(username: str, password: str) -> dict[str, str]:
    return {key: value for key, value in (("username", username), ("password", password)) if value}
