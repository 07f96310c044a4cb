"""Where a request comes from: checks of Host, Origin and X-Forwarded-For headers. Pure."""

import socket
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from daemon.errors import ConfigError

ANY_ORIGIN = "*"
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def host_of(header: str) -> str:
    """Return the name in a Host header, without port, brackets and trailing dot."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def host_name() -> str:
    """Return this machine's host name, in which bytes that are not UTF-8 are question marks."""
    return socket.gethostname().encode("utf-8", "replace").decode()


def own_host_names(configured: Iterable[str]) -> frozenset[str]:
    """Return this machine's host names."""
    name = host_name().lower()
    short = name.partition(".")[0]
    return frozenset({"localhost", name, short, f"{short}.local", *(each.lower() for each in configured)})


def name_for_others(host: str, configured: Sequence[str]) -> str | None:
    """Return the name by which other devices reach a server listening on `host`; None: they cannot."""
    if is_for_this_machine(host):
        return None
    if configured:
        return configured[0]
    if host not in EVERYWHERE:
        return f"[{host}]" if ":" in host else host
    return f"{host_name().lower().partition('.')[0]}.local"


def is_ours(header: str, names: Collection[str]) -> bool:
    """Tell whether a Host header is an address or one of our names.

    With DNS rebinding a foreign page points its own name at this machine; its requests then carry that name.
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


def is_for_this_machine(host: str) -> bool:
    """Tell whether only this machine can reach a server at this address or name."""
    return host == "localhost" or is_loopback(host)


def is_loopback(address: str) -> bool:
    """Tell whether a connection comes from this machine."""
    try:
        return _plain(address).is_loopback
    except ValueError:
        return False


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Parse an address; an IPv4 address that a dual-stack socket shows as IPv6 becomes IPv4.

    Raises:
        ValueError: it is not an address.
    """
    parsed = ip_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed


def client_address(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """Return the client's address: the peer's, unless that is a trusted proxy.

    Args:
        peer: the other end of the connection.
        forwarded: the header X-Forwarded-For, which clients can forge.
        proxies: addresses or networks of trusted proxies.
    """
    address = peer
    if not proxies:  # the usual case
        return address
    for each in reversed([part.strip() for part in forwarded.split(",")]):
        if not is_proxy(address, proxies) or not is_address(each):
            break
        address = each
    return address


def check_networks(networks: Iterable[str], option: str) -> None:
    """Check a list of addresses and networks; `option` is its key in the configuration.

    Raises:
        ConfigError: one of them is neither an address nor a network.
    """
    for each in networks:
        try:
            ip_network(each, strict=False)
        except ValueError as error:
            raise ConfigError(f"{option}: {each} is neither an IP address nor a network") from error


def parse_origins(origins: Iterable[str]) -> tuple[frozenset[str], list[str]]:
    """Return origins in the form that browsers send, and a list of those that are not valid.

    An invalid one raises no error: the service must start anyway, as it may have a print to reattach to.
    """
    parsed = {each: each if each in (ANY_ORIGIN, "null", "file://") else _origin(each) for each in origins}
    return frozenset(filter(None, parsed.values())), [each for each, origin in parsed.items() if origin is None]


def _origin(text: str) -> str | None:
    """Return the origin of an address, in the form that browsers send (RFC 6454, section 6.1); None: it has none."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not parts.scheme or not host or "*" in host:
        return None
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{shown}" + ("" if port in (None, default) else f":{port}")


def is_proxy(address: str, proxies: Collection[str]) -> bool:
    """Tell whether an address is a trusted proxy's."""
    return is_within(address, proxies)


def is_within(address: str, networks: Collection[str]) -> bool:
    """Tell whether an address is in one of these networks."""
    if not networks:
        return False
    try:
        parsed = _plain(address)
        return any(parsed in ip_network(each, strict=False) for each in networks)
    except ValueError:  # a Unix socket
        return False


def is_allowed_origin(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether pages of this origin may use the API: it is in the list, or `*` is."""
    return bool(origin) and (origin in allowed or ANY_ORIGIN in allowed)


def is_same_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin header names this server, by the Host header of the same request."""
    try:
        split = urlsplit(origin)
    except ValueError:
        return False
    return split.scheme in ("http", "https") and split.netloc.lower() == host.lower()
