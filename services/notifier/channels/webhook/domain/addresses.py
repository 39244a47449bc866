"""Which network addresses a webhook may be sent to (server-side request forgery guard)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2048
HTTPS_PORT = 443
ANY_PORT = range(1, 65536)

# `is_global` alone is not a filter: it calls multicast, 6to4, NAT64 and some provider addresses global.
DENIED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
# Cloud metadata services; handing out credentials is their job, so no allow list reaches them.
METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
# Where IPv6 forms carry an IPv4 address: the prefix, and how far the address is from the right.
EMBEDDING = (
    (IPv6Network("::/96"), 0),
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)


class Blocked(Exception):
    """A delivery must not go there. `reason` is stable snake_case; the message names the address."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """What the deployment allows beyond public addresses on port 443. Never editable by a tenant."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    ports: tuple[range, ...] = field(default=(range(HTTPS_PORT, HTTPS_PORT + 1),))

    def allows_port(self, port: int) -> bool:
        return any(port in ports for ports in self.ports)

    def allows_host(self, host: str) -> bool:
        return host.lower().rstrip(".") in self.hosts

    def allows_network(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def egress_policy(networks: Iterable[str], hosts: Iterable[str], ports: Iterable[str]) -> EgressPolicy:
    """The policy from its written form: CIDRs, host names, ports or ranges such as `8000-8999`."""
    return EgressPolicy(
        networks=tuple(ip_network(text) for text in networks),
        hosts=frozenset(host.lower().rstrip(".") for host in hosts),
        ports=tuple(_port_range(text) for text in ports),
    )


def _port_range(text: str) -> range:
    first, _, last = text.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > ANY_PORT[-1]:
        raise ValueError(f"{text!r} is no port and no range of ports")
    return ports


def parsed(text: str) -> Address:
    """The address `text` spells canonically; IPv4-mapped IPv6 becomes IPv4. Odd spellings are blocked."""
    try:
        address = ip_address(text)
    except ValueError:
        raise Blocked("not_an_address", f"{text!r} is not a canonical network address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise Blocked("scoped_address", f"{text!r} names a network interface")
        return address.ipv4_mapped or address
    return address


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that a transition form of IPv6 carries, if it is one."""
    if isinstance(address, IPv6Address):
        for prefix, shift in EMBEDDING:
            if address in prefix:
                return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None


def vet(text: str, policy: EgressPolicy, *, host: str = "", encrypted: bool = True) -> Address:
    """`text` as an address a delivery may connect to, or `Blocked`.

    `host` is the name it was resolved from; plain http (`encrypted` false) only reaches allowed targets.
    """
    address = parsed(text)
    if address in METADATA or embedded(address) in METADATA:
        raise Blocked("metadata_address", f"{text} belongs to a cloud metadata service")
    if policy.allows_host(host) or policy.allows_network(address):
        return address
    if not encrypted:
        raise Blocked("http_not_allowed", f"plain http may not reach {text}")
    if not is_public(address):
        raise Blocked("address_not_public", f"{text} is not a public address")
    return address


def is_public(address: Address) -> bool:
    """Whether an address is reachable on the open internet and belongs to somebody in particular."""
    if any(address in network for network in DENIED):
        return False
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST_V6:
        return False
    return address.is_global and not address.is_multicast
