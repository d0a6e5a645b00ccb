"""Which addresses a URL from outside may lead this worker to."""

import ipaddress
import socket
from collections.abc import Callable, Sequence

Resolver = Callable[[str, int], Sequence[str]]
"""Host and port to the textual addresses of the host; raises `OSError`."""

_IPv4 = ipaddress.IPv4Network
_IPv6 = ipaddress.IPv6Network

# Listed here, and not left to `ipaddress.is_global`, whose answers differ between releases of Python.
REFUSED_IPV4 = tuple(
    map(
        _IPv4,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata service too
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's own services, though the address looks public
            "169.254.0.0/16",  # link-local: metadata services
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
GLOBAL_IPV6 = _IPv6("2000::/3")
"""All that was ever given out for the open Internet; whatever lies outside is refused unheard."""
REFUSED_IPV6 = tuple(
    map(
        _IPv6,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
MAPPED = _IPv6("::ffff:0:0/96")
NAT64 = _IPv6("64:ff9b::/96")
SIX_TO_FOUR = _IPv6("2002::/16")


def is_public(address: str) -> bool:
    """Whether `address` is one of the open Internet. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) counts as
    itself; what is no address at all is refused."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            return False
        inner = _embedded(found)
        if inner is None:
            return found in GLOBAL_IPV6 and not any(found in network for network in REFUSED_IPV6)
        found = inner
    return not any(found in network for network in REFUSED_IPV4)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    number = int(address)
    if address in MAPPED or address in NAT64:
        return ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    if address in SIX_TO_FOUR:
        return ipaddress.IPv4Address((number >> 80) & 0xFFFF_FFFF)
    return None


def resolve(host: str, port: int) -> Sequence[str]:
    """This machine's own `Resolver`. It takes every spelling of an address that the system's does (decimal, octal), so
    only what comes out of it is worth vetting."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
