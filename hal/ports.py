"""Lists the serial ports, tells which are in use, and finds the one that `serial:auto` means, without opening any.

Opening a port would reset the board behind it. So everything here comes from the names in /dev, from sysfs, and from
the table of locks.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path

from gcode.frozen import frozen
from hal import holders
from hal.errors import AmbiguousPort, NoSuchPort

DEV = Path("/dev")
SYS = Path("/sys")

AUTO = "auto"
"""Stands for the port that `auto_port` finds at the time of opening."""

_PATTERNS = ("ttyUSB*", "ttyACM*", "ttyS*", "ttyAMA*")


@frozen
class Port:
    """A serial port.

    Attributes:
        path: of its node, which may belong to another device after the next replugging.
        by_id: udev's name by id, which survives replugging; None: the port has none.
        description: maker and product.
        vid: of the USB device; None: it is not a USB device.
        pid: of the USB device.
        serial_number: of the USB device; many have none, and some makers give all boards the same one.
        place: the USB socket, hubs included, as the kernel names it (`1-1.4`).
        interface: the device's interface (`1.0`).
        by_path: udev's name by path, which belongs to the socket; None: the port has none.
        is_twin: another port differs from this one by the socket alone.
    """

    path: str
    by_id: str | None = None
    description: str = ""
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    place: str | None = field(default=None, compare=False)
    interface: str | None = field(default=None, compare=False)
    by_path: str | None = field(default=None, compare=False)
    is_twin: bool = field(default=False, compare=False)

    @property
    def address(self) -> str:
        """The printer address of this port, by its most stable name."""
        stable = self.by_path if self.is_twin else self.by_id
        return f"serial:{stable or self.path}"

    @property
    def device(self) -> "UsbDevice | None":
        """The device behind the port, to recognise it after replugging; None: it is not a USB device."""
        if self.vid is None or self.pid is None:
            return None
        return UsbDevice(self.vid, self.pid, self.serial_number, self.interface, self.place, self.is_twin)


@frozen
class UsbDevice:
    """The device behind a port, as plain values for JSON; the fields are those of `Port`."""

    vid: int
    pid: int
    serial_number: str | None
    interface: str | None
    place: str | None
    is_twin: bool

    def is_like(self, other: "UsbDevice | None") -> bool:
        """Tell whether both may be the same device, perhaps in another socket."""
        return other is not None and self.kind == other.kind

    @property
    def kind(self) -> tuple[int, int, str | None, str | None]:
        """The fields that identify it in any socket."""
        return self.vid, self.pid, self.serial_number, self.interface


def list_ports(dev: Path = DEV, sys: Path = SYS) -> list[Port]:
    """Return the existing ports: those with a name by id first, then USB, then built-in ones."""
    ports: dict[Path, Port] = {}  # by node, because udev may give one node two names
    by_path = {link.resolve(): str(link) for link in reversed(_sort_paths(dev, "serial/by-path/*"))}
    for link in _sort_paths(dev, "serial/by-id/*"):
        node = link.resolve()
        if node.exists():
            ports.setdefault(node, _port(node, str(link), sys))
    for pattern in _PATTERNS:
        for node in _sort_paths(dev, pattern):
            if _is_real(node, sys):
                ports.setdefault(node.resolve(), _port(node, None, sys))
    kinds = Counter(port.device.kind for port in ports.values() if port.device is not None)
    return [
        replace(
            port,
            by_path=by_path.get(node),
            is_twin=port.device is not None and kinds[port.device.kind] > 1,
        )
        for node, port in ports.items()
    ]


def port_at(path: str, existing: Sequence[Port] | None = None) -> Port | None:
    """Return the port with this path; None: there is no such port."""
    node = Path(path).resolve()
    existing = list_ports() if existing is None else existing
    return next((port for port in existing if Path(port.path).resolve() == node), None)


def find(device: UsbDevice, existing: Sequence[Port] | None = None) -> str | None:
    """Return the path at which a device is now; None: it is not plugged in, or not recognised.

    A device with a serial number is recognised in any socket; one without, or whose number another board has too, only
    in its own socket.
    """
    existing = list_ports() if existing is None else existing
    like = [port for port in existing if device.is_like(port.device)]
    here = next((port.path for port in like if port.place == device.place), None)
    if here is None and len(like) == 1 and device.serial_number and not device.is_twin:
        return like[0].path
    return here


def is_locked(path: str) -> bool:
    """Tell whether a process holds a flock on the port.

    If the table of locks is hidden (systemd's ProcSubset=pid), a visible process with the port open counts.
    """
    locks = holders.locks_on(path)
    if locks is None:
        return bool(holders.of_file(path))
    return any(lock.kind == "FLOCK" for lock in locks)


def auto_port(dev: Path = DEV, sys: Path = SYS) -> Port:
    """Return the one port that `serial:auto` can mean: no process has locked it, and it has a twin or a name by id.

    Raises:
        NoSuchPort: there is no such port; says which ports there are.
        AmbiguousPort: there are several such ports; lists their addresses.
    """
    ports = list_ports(dev, sys)
    free = [port for port in ports if (port.by_id or port.is_twin) and not is_locked(port.path)]
    if len(free) == 1:
        return free[0]
    if free:
        raise AmbiguousPort(f"serial:auto found several ports; name one: {addresses(free)}")
    raise NoSuchPort(_reason_for_none(dev, ports))


def addresses(ports: list[Port]) -> str:
    """Return the ports as addresses to copy, in one line."""
    return ", ".join(port.address for port in ports)


def _reason_for_none(dev: Path, ports: list[Port]) -> str:
    named = [port for port in ports if port.by_id]
    if named:
        users = [f"{port.address} is in use by {holders.describe(holders.of_file(port.path))}" for port in named]
        return "serial:auto found no free port: " + "; ".join(users)
    if ports:
        return f"serial:auto needs a port named in {dev}/serial/by-id, and there is none; name one: {addresses(ports)}"
    return "There is no serial port: is the printer switched on and plugged in?"


def _sort_paths(dev: Path, pattern: str) -> list[Path]:
    """Return the matching paths, with ttyUSB2 before ttyUSB10."""
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
        place=usb.name,
        interface=_interface(usb, sys / "class/tty" / node.name / "device"),
    )


def _interface(usb: Path, device: Path) -> str | None:
    """Return the interface of the USB device, from the name of its folder: `1-1.4:1.0`."""
    parts = device.resolve().parts[len(usb.parts) :]
    return parts[0].rpartition(":")[2] if parts else None


def _usb_parents(device: Path) -> Iterator[Path]:
    """Yield the USB devices above a port, which belongs to an interface of one."""
    real = device.resolve()
    return (parent for parent in (real, *real.parents) if (parent / "idVendor").exists())


def _is_real(node: Path, sys: Path) -> bool:
    """Tell whether a port has hardware: the kernel also makes nodes for 8250 ports that the board lacks."""
    tty = sys / "class/tty" / node.name
    kind = _read(tty / "type")
    if kind is not None:
        return kind != "0"  # PORT_UNKNOWN; USB ports have no such file
    return "serial8250" not in (tty / "device").resolve().parts


def _read(path: Path) -> str | None:
    """Return the printable characters of a line in sysfs, which comes from a device."""
    try:
        line = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    return "".join(c for c in line if c.isprintable()) or None


def _hex(text: str | None) -> int | None:
    return int(text, 16) if text and re.fullmatch("[0-9a-fA-F]+", text) else None
