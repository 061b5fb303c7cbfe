"""URLs of Redis servers in the settings, those of sentinels and clusters among them."""

from __future__ import annotations

import re
import ssl
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

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


_USER, _HOST = r"([^@/#?\s'\"<>]*@)?", r"[^@:/#?,\s[\]]+"
_CLUSTER = re.compile("rediss?-cluster:")
_SHAPES = {
    "redis": (
        re.compile(rf"rediss?://{_USER}({_HOST}|\[[0-9a-fA-F:.]+\])(:\d{{1,5}})?(/\d*)?"),
        "redis[s]://[[user]:password@]host[:port][/number]",
    ),
    "sentinel": (
        re.compile(
            rf"sentinels?://{_USER}{_HOST}(:\d{{1,5}})?(,{_HOST}(:\d{{1,5}})?)*/[\w.-]+(/\d*)?"
            r"(\?sentinel_(user|pass)[^@/#?&\s]*(&sentinel_(user|pass)[^@/#?&\s]*)?)?"
        ),
        "sentinel[s]://[[user]:password@]host[:port][,host[:port]...]/master[/number]",
    ),
    "cluster": (
        re.compile(rf"rediss?-cluster://{_USER}{_HOST}(:\d{{1,5}})?(,{_HOST}(:\d{{1,5}})?)*/?0?"),
        "redis[s]-cluster://[[user]:password@]host[:port][,host[:port]...]",
    ),
}


def check_cache_url(url: str) -> None:
    """Raise ValueError unless `url` names one server or a master behind sentinels."""
    if _CLUSTER.match(url):
        raise ValueError(
            "must not be a cluster: that has database 0 only, and cache, queue, configuration and counters"
            " have one each. Use one server, or sentinel://. REDIS_STORE_URL may be a cluster"
        )
    check_store_url(url)


def check_store_url(url: str) -> None:
    """Raise ValueError unless `url` names one server, a master behind sentinels, or a cluster.

    An unescaped `@`, `#` or `/` in a password would silently name another host.
    """
    kind = "cluster" if _CLUSTER.match(url) else "sentinel" if url.startswith("sentinel") else "redis"
    shape, text = _SHAPES[kind]
    if url and not shape.fullmatch(url):
        raise ValueError(f"must be {text}, %-encoded")


def database_url(url: str, number: int, ca_file: str = "") -> str:
    """Return the address of database `number` on the server of `url`.

    Commas are encoded, because django-redis ends a URL at a comma. `ca_file` travels in the query.
    Without a `url` the host is one that cannot exist, and its name states what is missing.
    """
    parts = urlsplit(url or "redis://redis-url-is-not-set.invalid")
    master = f"/{parts.path.split('/')[1]}" if parts.scheme.startswith("sentinel") else ""
    return parts._replace(
        netloc=parts.netloc.replace(",", "%2C"),
        path=f"{master}/{number}",
        query="&".join(filter(None, [parts.query, urlencode(_authority(url, ca_file))])),
    ).geturl()


def broker_url(url: str, number: int) -> str:
    """Return the address of database `number` as kombu expects it: one URL for each sentinel."""
    parts = urlsplit(url)
    if not parts.scheme.startswith("sentinel"):
        return database_url(url, number)
    user, at, hosts = parts.netloc.rpartition("@")
    return ";".join(f"sentinel://{user}{at}{host}/{number}" for host in hosts.split(","))


def broker_sentinel_options(
    url: str, *, timeout: float, connect_timeout: float, ca_file: str = ""
) -> dict[str, Any]:
    """Return kombu's transport options for sentinels; nothing for other URLs."""
    parsed = sentinels(url)
    if parsed is None:
        return {}
    # Without `retry`, redis-py would call each sentinel eleven times.
    waits = {"socket_timeout": timeout, "socket_connect_timeout": connect_timeout, "retry": None}
    sentinel_kwargs = {**parsed.own_account, **waits, **_authority(url, ca_file), "ssl": parsed.tls}
    return {"master_name": parsed.master, "sentinel_kwargs": sentinel_kwargs}


def broker_tls_options(url: str, ca_file: str = "") -> dict[str, Any]:
    """Return the options with which kombu checks a server's certificate; by default it accepts any."""
    if not url.startswith(("rediss:", "sentinels:")):
        return {}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **_authority(url, ca_file)}


def _authority(url: str, ca_file: str) -> dict[str, str]:
    """Return the certificate authority to use in place of the machine's own."""
    tls = url.startswith(("rediss", "sentinels"))
    return {"ssl_ca_certs": ca_file} if tls and ca_file else {}
