"""Addresses of peers, as texts: which are equal, and which are one party's. Pure."""

import ipaddress
from typing import Final

_IPV6_SITE_BITS: Final = 64
"""Whoever has one IPv6 address has all with these first bits."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed_address(text: str) -> Address | None:
    """None for what is none, as of a Unix socket. An IPv4 address within IPv6 is the IPv4 one."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def site_of(address: str) -> str:
    """What is limited as one: the address, or the IPv6 site it belongs to."""
    parsed = parsed_address(address)
    if parsed is None:  # A Unix socket has none: all that come by it are one.
        return "none"
    if isinstance(parsed, ipaddress.IPv6Address):
        site = ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False)
        return str(site.network_address)
    return str(parsed)
