"""Addresses: which printer the configuration and clients mean, and at which baudrates it may answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from daemon.bridge.words import PortOptions
from daemon.config import PrinterConfig
from daemon.core.connection.allowed_ports import address_of, matches
from daemon.errors import PortNotAllowed
from hal import ports
from hal.registry import Address, check, parse

LIKELY = (115200, 250000, 230400, 57600, 38400, 19200, 9600)
"""Baudrates in the order in which they are tried if none is configured; nearly all printers use the first two."""

BAUDRATES = (250000, 230400, 115200, 57600, 38400, 19200, 9600)
VIRTUAL = "VIRTUAL"  # OctoPrint's name for the simulated printer


class Addresses:
    """The ports that this daemon may open.

    Attributes:
        given: the configured printer's; None: there is none.
    """

    def __init__(self, config: PrinterConfig, extra_ports: Sequence[str] = ()) -> None:
        """Take the configuration.

        Args:
            config: address, baudrate, and globs of ports that clients may connect to.
            extra_ports: more of those.

        Raises:
            AddressError: the configured address is invalid.
        """
        self.given = check(config.address) if config.address else None
        self._config = config
        self._globs = (*config.extra_ports, *extra_ports)
        self._working_rates: dict[str, int] = {}  # baudrate by port, where it was found by trying
        self._sought: set[str] = set()  # ports whose baudrate is to be found by trying, on request

    # -- which one -----------------------------------------------------------------------------------------

    async def options(self, connected: Address | None) -> PortOptions:
        """List what a client may connect to; opens nothing."""
        given = self.given
        listed = [port.path for port in await asyncio.to_thread(ports.list_ports)]
        if given and given.scheme == "serial" and given.target not in (*listed, "auto"):
            listed.insert(0, given.target)
        return PortOptions(
            ports=[*listed, VIRTUAL],
            baudrates=list(BAUDRATES),
            port=port_name(connected) if connected else None,
            baudrate=self.baudrate(connected) if connected else None,
            port_preference=port_name(given) if given else None,
            baudrate_preference=self.baudrate(given) if given else None,
        )

    async def resolve(self, port: str | None, baudrate: int | None) -> Address:
        """Return the address that a client means.

        Raises:
            PortNotAllowed: clients may not connect to that port, or no port is named.
            AddressError: the port's address is invalid.
        """
        address = await self._named(port)
        if baudrate is None or address.scheme != "serial":
            return address if address is self.given else check(address)
        return check(replace(address, options={**address.options, "baudrate": str(baudrate)}, written=""))

    def is_given(self, address: Address) -> bool:
        """Tell whether this is the given printer, at any baudrate."""
        return self.given is not None and (address.scheme, address.target) == (self.given.scheme, self.given.target)

    async def _named(self, port: str | None) -> Address:
        given = self.given
        if port in (None, "", "AUTO"):
            if given is None:
                raise PortNotAllowed("no port is named, and none is configured: name one, or set printer.address")
            return given
        if port in (VIRTUAL, "sim"):
            return given if given and given.scheme == "sim" else parse("sim")
        if given and port in (given.target, str(given), f"{given.scheme}:{given.target}"):
            return given
        # in a thread: the kinds of printers that are installed are read from the disk
        address = await asyncio.to_thread(address_of, port)
        # neither options of `sim` nor `replay`: they read and write files
        if address.scheme != "serial" or not await self._is_allowed(address.target):
            raise PortNotAllowed(f"{port} is not a port that clients may connect to; printer.extra_ports allows more")
        return address

    async def _is_allowed(self, path: str) -> bool:
        """Tell whether clients may connect to this serial port."""
        if self.given and (self.given.scheme, self.given.target) == ("serial", path):
            return True
        if any(matches(path, glob) for glob in self._globs):
            return True
        listed = await asyncio.to_thread(ports.list_ports)
        return any(path in (port.path, port.by_id, port.by_path) for port in listed)

    # -- at which baudrate ---------------------------------------------------------------------------------

    def baudrate(self, address: Address) -> int | None:
        """Return the baudrate of an address; None: several are possible. Without a serial line, the usual one."""
        return self.rates(address)[0] if len(self.rates(address)) == 1 else None

    def rates(self, address: Address) -> tuple[int, ...]:
        """Return the baudrates at which a printer may answer there, the likeliest first."""
        if rate := int(address.options.get("baudrate", self._usual(address.target))):
            return (rate,)
        working_rate = self._working_rates.get(address.target) or (None if address.scheme == "serial" else LIKELY[0])
        return (working_rate,) if working_rate else LIKELY

    def _usual(self, port: str) -> int:
        """Return the baudrate of a port whose address gives none; 0: it has to be found by trying."""
        return 0 if port in self._sought else self._config.baudrate

    def seek(self, port: str) -> None:
        """Have the baudrate of a port found by trying, whatever is configured."""
        self._sought.add(port)
        self._working_rates.pop(port, None)

    def choose(self, address: Address) -> bool:
        """Make this the given printer, unless the configuration names one; tell whether it is now."""
        if self._config.address or address.scheme != "serial":
            return False
        self.given = check(replace(address, written=""))
        return True

    def remember(self, port: str, baudrate: int) -> None:
        """Note the baudrate at which a printer answered at a port, for when none is given."""
        self._working_rates[port] = baudrate

    def forget(self, port: str) -> None:
        """Forget the baudrate of a port: no printer answers at it."""
        self._working_rates.pop(port, None)

    def at(self, address: Address, rate: int) -> Address:
        """Return the address with this baudrate, if it has none."""
        if address.scheme != "serial" or "baudrate" in address.options:
            return address
        options = {**address.options, "baudrate": str(rate)}
        # one that was found by trying becomes part of the address, for the next host
        return replace(address, options=options, written=address.written if self._usual(address.target) else "")


def port_name(address: Address) -> str:
    """Return what clients call this port."""
    return VIRTUAL if address.scheme == "sim" else address.target
