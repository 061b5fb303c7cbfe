"""Addresses that a download on behalf of an uploader may connect to: those of the public internet.

Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and of IPv6 global
unicast assignments. Python's `is_global` follows them, but not alike in every version that runs here, and it
takes the networks below for public.
"""

from __future__ import annotations

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
# All of IPv6 that is assigned to hosts of the internet. Outside are ::a.b.c.d (IPv4-compatible, deprecated),
# 64:ff9b:1::/48 (translation inside of a network), 5f00::/16 (segment routing), and what is private.
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
    """Return whether everybody reaches the same host under this address."""
    if "%" in text:
        return False  # with a zone it is of one link
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    inner = address.ipv4_mapped or (IPv4Address(address.packed[-4:]) if address in NAT64 else None)
    return _is_public_v4(inner) if inner else _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in net for net in IPV4_SPECIAL)
    return address.is_global and not special


def _is_public_v6(address: IPv6Address) -> bool:
    special = any(address in net for net in IPV6_SPECIAL)
    return address in IPV6_GLOBAL and address.is_global and not special
