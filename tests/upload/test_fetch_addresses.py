from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import InvalidInput
from tecken.storage.upstreams.addresses import is_public
from tecken.upload.protocols.archive import resolve_public_address

PRIVATE = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.1 192.0.0.9 192.0.2.1
    192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
    64:ff9b::a00:1 64:ff9b::c058:6301 64:ff9b:1::1 64:ff9b:1::7f00:1
    64:ff9b:1:ffff::808:808 100::1 100:0:0:1::1
    2001::1 2001:0:7f00:1:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
    2002:7f00:1:: 2002:a00:1:: 2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
    fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1 ff0e::1
"""
PUBLIC = "8.8.8.8 1.1.1.1 223.255.255.254 2606:4700::1 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_is_public_of_an_address_with_a_special_purpose_is_false(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_is_public_of_a_host_of_the_internet_is_true(address: str) -> None:
    assert is_public(address)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_is_public_of_a_wrapped_address_is_never_more_than_of_the_address(inner: IPv4Address) -> None:
    number = int(inner)
    wrapped = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x64FF9B0001 << 80) | number),
        IPv6Address(number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address((0x20010000 << 96) | (number << 64) | (number ^ 0xFFFFFFFF)),
    ]
    assert not any(is_public(str(address)) for address in wrapped) or is_public(str(inner))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "64:ff9b:1::7f00:1", "::127.0.0.1", "192.88.99.1", "5f00::1"]
)
def test_public_address_of_a_host_in_a_special_network_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="Not an allowed domain"):
        resolve_public_address(host, socket.getservbyname("https"))
