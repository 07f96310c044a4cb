"""Invitations: links to the page with a pairing code in them, under the names by which a phone finds this machine."""

from collections.abc import Sequence

from daemon.front.access import hosts
from daemon.front.access.access import Access
from daemon.front.access.pairing import LIFETIME
from daemon.front.access.scopes import Scope
from daemon.front.discovery import lan_address
from gcode.frozen import frozen


@frozen
class Invitation:
    """A code that is good once.

    Attributes:
        code: as people type it.
        links: to the page with the code, the best first.
        scope: of the key that it is exchanged for.
        lasts: s.
    """

    code: str
    links: list[str]
    scope: Scope
    lasts: float = LIFETIME


def invite(access: Access, scope: Scope, roots: Sequence[str], now: float) -> Invitation:
    """Make a code, and the links with it.

    Args:
        access: knows the code from here on.
        scope: what it allows.
        roots: addresses of the page, the best first.
        now: the loop's time.

    Raises:
        TooManyRequests: too many codes wait to be used.
    """
    code = access.pairing.make(scope, now)
    return Invitation(code, [f"{root}#pair={code}" for root in roots], scope)


def roots(host: str, port: int, hostnames: Sequence[str]) -> list[str]:
    """Return where the page is, for other devices if they can come there: by name, then by address. Blocks a moment.

    Args:
        host: where HTTP listens, as do the sockets that systemd has handed in.
        port: of it.
        hostnames: names of this machine that are configured, the best first.
    """
    name = hosts.name_for_others(host, hostnames)
    if name is None:
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    address = lan_address(host)
    found = [name] if address is None else [name, f"[{address}]" if ":" in address else address]
    return [f"http://{each}:{port}/" for each in dict.fromkeys(found)]
