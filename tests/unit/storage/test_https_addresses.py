"""Which addresses a URL may lead to."""

import socket

import pytest

from transcriber_worker.storage.https_addresses import is_public, resolve

PUBLIC = ["93.184.216.34", "8.8.8.8", "1.1.1.1", "134.70.24.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"]
EMBEDDING_PUBLIC = ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",  # noqa: S104
    "168.63.129.16", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "2001::1", "2001:20::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1", "64:ff9b:1::808:808",
    "::127.0.0.1", "::8.8.8.8",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a00:1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1",
]  # fmt: skip
NO_ADDRESSES = ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "8.8.8.8/32", "8.8.8.8 ", "::g"]


@pytest.mark.parametrize("address", PUBLIC + EMBEDDING_PUBLIC)
def test_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", REFUSED)
def test_private_local_reserved_and_metadata_addresses_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.1", "localhost"])
def test_whatever_the_system_takes_for_loopback_comes_out_as_such(spelling: str) -> None:
    """Its resolver knows many spellings: they are vetted by what they mean."""
    try:
        found = resolve(spelling, 443)
    except socket.gaierror:
        found = []  # a system that does not know the spelling connects nowhere
    assert not any(map(is_public, found))
