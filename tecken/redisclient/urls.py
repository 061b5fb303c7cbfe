"""What the URLs say that redis-py does not know: sentinels, and nodes of a cluster."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

PORT = 6379
SENTINEL_PORT = 26379

Address = tuple[str, int]


class Sentinels(NamedTuple):
    """Who knows which server is the master. `account` is for that server, `own_account` for the sentinels:
    `username` and `password`, where there are any."""

    addresses: tuple[Address, ...]
    master: str
    number: int
    account: dict[str, str]
    own_account: dict[str, str]
    tls: bool
    ca_file: str = ""


class Seeds(NamedTuple):
    """Nodes of a cluster, any of which knows the others."""

    addresses: tuple[Address, ...]
    account: dict[str, str]
    tls: bool
    ca_file: str = ""


def sentinels(url: str) -> Sentinels | None:
    """What `sentinel[s]://[[user]:password@]host[:port][,host[:port]...]/master[/number]` says.

    None for another scheme. The sentinels' own account is in the query: `?sentinel_password=...`.
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
        own_account=_named(_asked(split, "sentinel_username"), _asked(split, "sentinel_password")),
        tls=split.scheme == "sentinels",
        ca_file=_asked(split, "ssl_ca_certs"),
    )


def seeds(url: str) -> Seeds | None:
    """What `redis[s]-cluster://[[user]:password@]host[:port][,host[:port]...]` says.

    None for another scheme.
    """
    split = urlsplit(url)
    if split.scheme not in ("redis-cluster", "rediss-cluster"):
        return None
    return Seeds(
        addresses=_addresses(split, PORT),
        account=_account(split),
        tls=split.scheme == "rediss-cluster",
        ca_file=_asked(split, "ssl_ca_certs"),
    )


def _addresses(split: SplitResult, port: int) -> tuple[Address, ...]:
    hosts = split.netloc.rpartition("@")[2]
    named = [urlsplit(f"//{host}") for host in unquote(hosts).split(",")]
    return tuple((each.hostname or "", each.port or port) for each in named)


def _account(split: SplitResult) -> dict[str, str]:
    name, _, password = split.netloc.rpartition("@")[0].partition(":")
    return _named(unquote(name), unquote(password))


def _asked(split: SplitResult, name: str) -> str:
    return parse_qs(split.query).get(name, [""])[0]


def _named(username: str, password: str) -> dict[str, str]:
    return {key: value for key, value in (("username", username), ("password", password)) if value}
