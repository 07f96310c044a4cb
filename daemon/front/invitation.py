"""Invitations: links to the page with a pairing code, under names by which a phone reaches this machine."""

from collections.abc import Sequence

from daemon.front.access import hosts
from daemon.front.access.access import Access
from daemon.front.access.pairing import LIFETIME_S
from daemon.front.access.scopes import Scope
from daemon.front.discovery import lan_address
from gcode.frozen import frozen


@frozen
class Invitation:
    """A pairing code, which works once.

    Attributes:
        code: in groups, for typing.
        links: to the page with the code, the best first.
        scope: of the key that it is exchanged for.
        lifetime_s: its lifetime in s.
    """

    code: str
    links: list[str]
    scope: Scope
    lifetime_s: float = LIFETIME_S


def invite(access: Access, scope: Scope, roots: Sequence[str], now: float) -> Invitation:
    """Create a code, and the links with it.

    Args:
        access: where the code is registered.
        scope: of the key.
        roots: addresses of the page, the best first.
        now: the loop's time.

    Raises:
        TooManyRequests: too many codes are unused.
    """
    code = access.pairing.make(scope, now)
    return Invitation(code, [f"{root}#pair={code}" for root in roots], scope)


def roots(host: str, port: int, hostnames: Sequence[str]) -> list[str]:
    """Return the page's addresses, by name, then by IP address; for other devices, if they can reach it. Blocks.

    Args:
        host: the address that HTTP listens on.
        port: its port.
        hostnames: the configured names of this machine, the best first.
    """
    name = hosts.name_for_others(host, hostnames)
    if name is None:
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    address = lan_address(host)
    names = [name] if address is None else [name, f"[{address}]" if ":" in address else address]
    return [f"http://{each}:{port}/" for each in dict.fromkeys(names)]
