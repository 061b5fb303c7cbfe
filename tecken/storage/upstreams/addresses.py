"""Addresses that lead to the same host from everywhere, as opposed to hosts of our own network.

Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and of IPv6 global
unicast assignments. Python's `is_global` follows them, but differently in each supported version, and it
classifies the networks below as public.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPV4_SPECIAL = tuple(
    map(
        IPv4Network,
        (
            "192.0.0.0/24",  # protocol assignments, and the anycast addresses among them
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "192.175.48.0/24",  # AS112
        ),
    )
)
# All IPv6 addresses that are assigned to hosts of the internet. Outside are ::a.b.c.d (IPv4-compatible,
# deprecated), 64:ff9b:1::/48 (translation inside a network), 5f00::/16 (segment routing), and private
# networks.
IPV6_GLOBAL = IPv6Network("2000::/3")
IPV6_SPECIAL = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, which wraps an IPv4 address, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which wraps an IPv4 address
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
NAT64 = IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Return whether an address leads to the same host from everywhere."""
    # An address with a zone is valid on one link only.
    if "%" in text:
        return False
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    # These IPv6 addresses lead to the IPv4 address inside them.
    inner = address.ipv4_mapped or (IPv4Address(address.packed[-4:]) if address in NAT64 else None)
    return _is_public_v4(inner) if inner else _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in net for net in IPV4_SPECIAL)
    return address.is_global and not special


def _is_public_v6(address: IPv6Address) -> bool:
    special = any(address in net for net in IPV6_SPECIAL)
    return address in IPV6_GLOBAL and address.is_global and not special


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host. Raises OSError, or UnicodeError for a name that no host can have."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_private_literal(host: str) -> bool:
    """Return whether a host in a URL is an address that is not public, in any spelling, or `localhost`."""
    name = host.rstrip(".").lower()
    if name.rpartition(".")[2] == "localhost":
        return True
    try:
        # Also of the spellings 127.1 and 0x7f000001, without a question to a name server.
        (found, *_) = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return not is_public(str(found[4][0]))
