"""Which serial ports there are, which are taken, and the one that `serial:auto` means. Opens none of them.

Opening a port to look at it would reset the board behind it. So everything here comes from the names in /dev,
from sysfs, and from the table of locks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hal import holders
from hal.errors import AmbiguousPort, NoSuchPort

DEV = Path("/dev")
SYS = Path("/sys")

_PATTERNS = ("ttyUSB*", "ttyACM*", "ttyS*", "ttyAMA*")


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port. `by_id` is the name that stays the same over replugging, where udev gave one."""

    path: str
    by_id: str | None = None
    description: str = ""
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None

    @property
    def address(self) -> str:
        """The printer address of this port."""
        return f"serial:{self.by_id or self.path}"


def list_ports(dev: Path = DEV, sys: Path = SYS) -> list[Port]:
    """Return the ports that are there: those with a name by id first, then USB, then built-in ones."""
    ports: dict[Path, Port] = {}  # by node, as udev may give one node two names
    for link in _sorted(dev, "serial/by-id/*"):
        node = link.resolve()
        if node.exists():
            ports.setdefault(node, _port(node, str(link), sys))
    for pattern in _PATTERNS:
        for node in _sorted(dev, pattern):
            if _is_real(node, sys):
                ports.setdefault(node.resolve(), _port(node, None, sys))
    return list(ports.values())


def locked(path: str) -> bool:
    """Tell whether somebody holds a flock on the port.

    Where the table of locks is hidden (systemd's ProcSubset=pid), whoever is seen to have it open counts.
    """
    locks = holders.locks_on(path)
    if locks is None:
        return bool(holders.of_file(path))
    return any(lock.kind == "FLOCK" for lock in locks)


def auto_port(dev: Path = DEV, sys: Path = SYS) -> Port:
    """Return the one port that `serial:auto` can mean: named by id and held by nobody.

    Raises:
        NoSuchPort: there is none; says what was looked at.
        AmbiguousPort: there are several; lists their addresses.
    """
    ports = list_ports(dev, sys)
    free = [port for port in ports if port.by_id and not locked(port.by_id)]
    if len(free) == 1:
        return free[0]
    if free:
        raise AmbiguousPort(f"serial:auto could be any of these; name one: {addresses(free)}")
    raise NoSuchPort(f"serial:auto looks for an unlocked port in {dev}/serial/by-id and {_why_none(ports)}")


def addresses(ports: list[Port]) -> str:
    """Return the ports as addresses to copy, in one line."""
    return ", ".join(port.address for port in ports)


def _why_none(ports: list[Port]) -> str:
    taken = [port for port in ports if port.by_id]
    if taken:
        users = [f"{port.address} is in use by {holders.describe(holders.of_file(port.path))}" for port in taken]
        return "found none: " + "; ".join(users)
    if ports:
        return f"found none; there are, to be named in full: {addresses(ports)}"
    return "found none: is the printer switched on and plugged in?"


def _sorted(dev: Path, pattern: str) -> list[Path]:
    """Return what matches, with ttyUSB2 before ttyUSB10."""
    return sorted(dev.glob(pattern), key=lambda path: re.sub(r"\d+", lambda n: n[0].zfill(9), path.name))


def _port(node: Path, by_id: str | None, sys: Path) -> Port:
    usb = next(_usb_parents(sys / "class/tty" / node.name / "device"), None)
    if usb is None:
        return Port(str(node), by_id, node.name)
    maker, product = _read(usb / "manufacturer"), _read(usb / "product")
    return Port(
        path=str(node),
        by_id=by_id,
        description=" ".join(filter(None, (maker, product))) or node.name,
        vid=_hex(_read(usb / "idVendor")),
        pid=_hex(_read(usb / "idProduct")),
        serial_number=_read(usb / "serial"),
    )


def _usb_parents(device: Path) -> Iterator[Path]:
    """Yield the USB devices above: a port hangs off an interface, and that off the device."""
    real = device.resolve()
    return (parent for parent in (real, *real.parents) if (parent / "idVendor").exists())


def _is_real(node: Path, sys: Path) -> bool:
    """Tell whether there is hardware behind: the kernel makes nodes for 8250 ports that the board lacks."""
    tty = sys / "class/tty" / node.name
    kind = _read(tty / "type")
    if kind is not None:
        return kind != "0"  # PORT_UNKNOWN; USB ports have no such file
    return "serial8250" not in (tty / "device").resolve().parts


def _read(path: Path) -> str | None:
    """Return a line of sysfs, which a device wrote: printable characters only."""
    try:
        line = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    return "".join(c for c in line if c.isprintable()) or None


def _hex(text: str | None) -> int | None:
    return int(text, 16) if text and re.fullmatch("[0-9a-fA-F]+", text) else None
