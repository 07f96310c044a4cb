"""What may be believed of a request's origin: its Host header, and who a proxy says that the client is. Pure."""

import socket
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from daemon.errors import ConfigError

ANY_ORIGIN = "*"
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def host_of(header: str) -> str:
    """Return the name in a Host header, without port, brackets and the root's dot."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def own_names(configured: Iterable[str]) -> frozenset[str]:
    """Return the names by which this machine is called."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset({"localhost", name, short, f"{short}.local", *(each.lower() for each in configured)})


def name_for_others(host: str, configured: Sequence[str]) -> str | None:
    """Return by which name other devices reach what listens at `host`; None: they do not."""
    if is_loopback(host) or host == "localhost":
        return None
    if configured:
        return configured[0]
    if host not in EVERYWHERE:
        return f"[{host}]" if ":" in host else host
    return f"{socket.gethostname().lower().partition('.')[0]}.local"


def is_ours(header: str, names: Collection[str]) -> bool:
    """Tell whether a Host header names this machine: an address does, a name that is not ours does not.

    A page whose own name has been pointed at this machine (DNS rebinding) comes with that name.
    """
    host = host_of(header)
    return host in names or is_address(host)


def is_address(host: str) -> bool:
    """Tell whether this is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Tell whether a connection comes from this machine."""
    try:
        return _plain(address).is_loopback
    except ValueError:
        return False


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Return the address; an IPv4 one as that, also where a socket for both kinds writes it as IPv6.

    Raises:
        ValueError: it is none.
    """
    parsed = ip_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed


def client_address(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """Return the client's address: the peer's own, unless that is a proxy that was named as trusted.

    Args:
        peer: the other end of the connection.
        forwarded: what X-Forwarded-For says; anybody can write anything there.
        proxies: addresses or networks whose word counts.
    """
    address = peer
    if not proxies:  # as with most
        return address
    for each in reversed([part.strip() for part in forwarded.split(",")]):
        if not is_proxy(address, proxies) or not is_address(each):
            break
        address = each
    return address


def check_networks(networks: Iterable[str], option: str) -> None:
    """Refuse a list of addresses and networks that would silently mean nothing; `option` says whose it is.

    Raises:
        ConfigError: one of them is no address and no network.
    """
    for each in networks:
        try:
            ip_network(each, strict=False)
        except ValueError as error:
            raise ConfigError(f"{option}: {each} is neither an IP address nor a network") from error


def as_sent(origins: Iterable[str]) -> tuple[frozenset[str], list[str]]:
    """Return origins as browsers send them, and those that none ever would.

    These are no error: a mistake in who may look at a print is no reason to end it.
    """
    sent = {each: each if each in (ANY_ORIGIN, "null", "file://") else _origin(each) for each in origins}
    return frozenset(filter(None, sent.values())), [each for each, written in sent.items() if written is None]


def _origin(text: str) -> str | None:
    """Return what a browser sends of a page with this address (RFC 6454, section 6.1); None: there is no such."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not parts.scheme or not host or "*" in host:
        return None
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{shown}" + ("" if port in (None, usual) else f":{port}")


def is_proxy(address: str, proxies: Collection[str]) -> bool:
    """Tell whether an address is that of a trusted proxy."""
    return is_within(address, proxies)


def is_within(address: str, networks: Collection[str]) -> bool:
    """Tell whether an address is one of these, or in one of these networks."""
    if not networks:
        return False
    try:
        parsed = _plain(address)
        return any(parsed in ip_network(each, strict=False) for each in networks)
    except ValueError:  # a Unix socket
        return False


def is_allowed_origin(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether pages of this origin may use the API: it is named as it is sent, or all are (`*`)."""
    return bool(origin) and (origin in allowed or ANY_ORIGIN in allowed)


def same_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin header is that of our own pages."""
    try:
        split = urlsplit(origin)
    except ValueError:
        return False
    return split.scheme in ("http", "https") and split.netloc.lower() == host.lower()
