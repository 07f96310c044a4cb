"""Addresses: which printer is meant by the configuration or a client, and at which baudrates it may answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from daemon.bridge.words import PortOptions
from daemon.config import PrinterConfig
from daemon.core.connection.allowed_ports import address_of, matches
from daemon.errors import PortNotAllowed
from hal import ports
from hal.registry import Address, check, parse

BAUDRATES_TO_TRY = (115200, 250000, 230400, 57600, 38400, 19200, 9600)
"""Baudrates in the order in which they are tried if none is configured; nearly all printers use the first two."""

BAUDRATES = (250000, 230400, 115200, 57600, 38400, 19200, 9600)
VIRTUAL = "VIRTUAL"  # OctoPrint's name for the simulated printer


class Addresses:
    """The ports that this daemon may open.

    Attributes:
        own: the address of this daemon's printer, as configured or chosen; None: neither.
    """

    def __init__(self, config: PrinterConfig, extra_ports: Sequence[str] = ()) -> None:
        """Take the configuration.

        Args:
            config: address, baudrate, and globs of ports that clients may connect to.
            extra_ports: further globs of such ports.

        Raises:
            AddressError: the configured address is invalid.
        """
        self.own = check(config.address) if config.address else None
        self._config = config
        self._globs = (*config.extra_ports, *extra_ports)
        self._working_rates: dict[str, int] = {}  # baudrate by port, where it was found by trying
        self._ports_to_try: set[str] = set()  # ports whose baudrate is to be found by trying, on request

    # -- which one -----------------------------------------------------------------------------------------

    async def options(self, connected: Address | None) -> PortOptions:
        """List what a client may connect to; opens nothing."""
        own = self.own
        listed = [port.path for port in await asyncio.to_thread(ports.list_ports)]
        if own and own.scheme == "serial" and own.target not in (*listed, "auto"):
            listed.insert(0, own.target)
        return PortOptions(
            ports=[*listed, VIRTUAL],
            baudrates=list(BAUDRATES),
            port=port_name(connected) if connected else None,
            baudrate=self.baudrate(connected) if connected else None,
            port_preference=port_name(own) if own else None,
            baudrate_preference=self.baudrate(own) if own else None,
        )

    async def resolve(self, port: str | None, baudrate: int | None) -> Address:
        """Return the address that a client means.

        Raises:
            PortNotAllowed: clients may not connect to that port, or no port is named.
            AddressError: the port's address is invalid.
        """
        address = await self._address_named(port)
        if baudrate is None or address.scheme != "serial":
            return address if address is self.own else check(address)
        return check(replace(address, options={**address.options, "baudrate": str(baudrate)}, text=""))

    def is_own(self, address: Address) -> bool:
        """Tell whether this is the address of this daemon's printer, at any baudrate."""
        return self.own is not None and (address.scheme, address.target) == (self.own.scheme, self.own.target)

    async def _address_named(self, port: str | None) -> Address:
        own = self.own
        if port in (None, "", "AUTO"):
            if own is None:
                raise PortNotAllowed("no port is named, and none is configured: name one, or set printer.address")
            return own
        if port in (VIRTUAL, "sim"):
            return own if own and own.scheme == "sim" else parse("sim")
        if own and port in (own.target, str(own), f"{own.scheme}:{own.target}"):
            return own
        # in a thread: looking for the backends of other distributions reads the disk
        address = await asyncio.to_thread(address_of, port)
        # clients get neither options of `sim` nor `replay`, as these read and write files
        if address.scheme != "serial" or not await self._is_allowed(address.target):
            raise PortNotAllowed(f"{port} is not a port that clients may connect to; printer.extra_ports allows more")
        return address

    async def _is_allowed(self, path: str) -> bool:
        """Tell whether clients may connect to this serial port."""
        if self.own and (self.own.scheme, self.own.target) == ("serial", path):
            return True
        if any(matches(path, glob) for glob in self._globs):
            return True
        listed = await asyncio.to_thread(ports.list_ports)
        return any(path in (port.path, port.by_id, port.by_path) for port in listed)

    # -- at which baudrate ---------------------------------------------------------------------------------

    def baudrate(self, address: Address) -> int | None:
        """Return the baudrate of an address; None: several are possible; only a serial port has several."""
        return self.rates(address)[0] if len(self.rates(address)) == 1 else None

    def rates(self, address: Address) -> tuple[int, ...]:
        """Return the baudrates at which a printer may answer at this address, the likeliest first."""
        if rate := int(address.options.get("baudrate", self._configured_rate(address.target))):
            return (rate,)
        working_rate = self._working_rates.get(address.target) or (
            None if address.scheme == "serial" else BAUDRATES_TO_TRY[0]
        )
        return (working_rate,) if working_rate else BAUDRATES_TO_TRY

    def _configured_rate(self, port: str) -> int:
        """Return the baudrate of a port whose address names none; 0: it has to be found by trying."""
        return 0 if port in self._ports_to_try else self._config.baudrate

    def try_baudrates(self, port: str) -> None:
        """From now on find the baudrate of this port by trying, whatever is configured."""
        self._ports_to_try.add(port)
        self._working_rates.pop(port, None)

    def choose(self, address: Address) -> bool:
        """Make this address this daemon's, unless the configuration names one; tell whether that was done."""
        if self._config.address or address.scheme != "serial":
            return False
        self.own = check(replace(address, text=""))
        return True

    def remember(self, port: str, baudrate: int) -> None:
        """Note the baudrate at which a printer answered; it is used if neither address nor configuration names one."""
        self._working_rates[port] = baudrate

    def forget(self, port: str) -> None:
        """Forget the baudrate of a port: no printer answers at it."""
        self._working_rates.pop(port, None)

    def with_baudrate(self, address: Address, rate: int) -> Address:
        """Return the address with this baudrate, unless it names one."""
        if address.scheme != "serial" or "baudrate" in address.options:
            return address
        options = {**address.options, "baudrate": str(rate)}
        # a baudrate that was found by trying becomes part of the address, for the next host
        return replace(address, options=options, text=address.text if self._configured_rate(address.target) else "")


def port_name(address: Address) -> str:
    """Return what clients call this port."""
    return VIRTUAL if address.scheme == "sim" else address.target
