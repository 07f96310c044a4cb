"""PortMemory: remembers which board is behind a port, to find the board again when its port has another name.

An unplugged board comes back as /dev/ttyACM1 if a process still has /dev/ttyACM0 open; meanwhile `serial:auto` would
take any other board. So from the first connection on, what identifies the board is remembered.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

from hal import ports
from hal.errors import NoSuchPort
from hal.ports import AUTO, Port, UsbDevice
from hal.registry import Address


class PortMemory:
    """The boards, by their port as it is named in the user's address."""

    def __init__(self) -> None:
        self._devices: dict[str, UsbDevice] = {}
        self._stable: dict[str, str] = {}  # the port's most stable name
        self._trying: tuple[str, str, Port | None] | None = None  # target, path, and the port if it was listed

    def remember(self, target: str, device: UsbDevice) -> None:
        """Note the board that an earlier process knew at this port."""
        self._devices[target] = device

    def device(self, target: str) -> UsbDevice | None:
        """Return the board that was last connected at this port."""
        return self._devices.get(target)

    def stable_name(self, target: str) -> str:
        """Return the most stable name of this port."""
        return self._stable.get(target, target)

    async def note_board(self, address: Address, path: str) -> None:
        """Note which board is at `path`, which is about to be opened."""
        self._trying = None
        if address.scheme == "serial":
            self._trying = address.target, path, await asyncio.to_thread(ports.port_at, path)

    def confirm_board(self) -> None:
        """Remember the board at the path that was opened: a printer has answered there."""
        if self._trying is None:
            return
        target, path, port = self._trying
        known = self._devices.get(target)
        if port is None and known is not None and self._is_name_of(known, target, path):
            return
        self._devices.pop(target, None)
        self._stable.pop(target, None)
        if port is not None:
            self._stable[target] = port.address.removeprefix("serial:")
        if port is not None and port.device is not None:
            self._devices[target] = port.device

    def _is_name_of(self, device: UsbDevice, target: str, path: str) -> bool:
        """Tell whether no other board can have this path: what answers there is this one, even if the port is unlisted.

        That is so for a name by id with a serial number: udev removes such a name for a moment when it looks at the
        board again, and the port may be opened just after. Any other path may lead to another board by now.
        """
        is_by_id = Path(path).parent.name == "by-id" and path in (target, self._stable.get(target))
        return is_by_id and device.serial_number is not None and not device.is_twin

    async def find_path(self, address: Address, *, seek_board: bool) -> str:
        """Return the path for a new connection.

        Args:
            address: of the port.
            seek_board: find the board that was connected; if it is not there, use the port of this name.

        Raises:
            PortError: `serial:auto` fits no port, or several.
        """
        if address.scheme != "serial":
            return address.target
        device = self._devices.get(address.target) if seek_board else None
        if device is not None and (path := await asyncio.to_thread(ports.find, device)) is not None:
            return path
        return (await asyncio.to_thread(ports.auto_port)).path if address.target == AUTO else address.target

    async def find_same_board(self, address: Address) -> str:
        """Return the path of the board that was connected, and never that of another one.

        If it is not known which board that was, this is the path that the address names.

        Raises:
            NoSuchPort: the board is not there; or the address is `serial:auto`, and the board is not known.
        """
        if address.scheme != "serial":
            return address.target
        device = self._devices.get(address.target)
        if device is None:
            if address.target == AUTO:
                raise NoSuchPort(f"{address}: it is no longer known which port that was")
            return address.target
        path = await asyncio.to_thread(ports.find, device)
        if path is None:
            raise NoSuchPort(f"{address}: the board that was there is gone; {_describe(device)}")
        return path


def at_path(address: Address, path: str) -> Address:
    """Return the address with the path of its port; as text it stays as the user has written it."""
    return address if path == address.target else replace(address, target=path, text=str(address))


def _describe(device: UsbDevice) -> str:
    number = f" with serial number {device.serial_number}" if device.serial_number else ""
    return f"it was USB {device.vid:04x}:{device.pid:04x}{number} in {device.place}"
