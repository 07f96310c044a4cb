"""PrinterMaker: makes printers from their addresses and the user's settings, with a recorder if one is configured."""

from collections.abc import Callable
from dataclasses import replace

from daemon.config import Config
from daemon.core.connection.addresses import Addresses
from daemon.core.connection.port_keeper import PortKeeper
from daemon.core.connection.port_memory import at_path
from daemon.core.connection.recordings import Recordings
from hal.link_settings import LinkSettings
from hal.logbook import Logbook
from hal.printer import Printer
from hal.registry import Address, create
from hal.transport import Transport

ANSWER_TIMEOUT = 6.0
"""Seconds for an answer at each of several baudrates: opening the port may reset the board, which is deaf while it
boots."""

MakePrinter = Callable[[Address, LinkSettings, Callable[[Transport], Transport]], Printer]
"""Makes a printer that is not open yet, as `hal.registry.create` does."""


class PrinterMaker:
    """Makes printers that are not open yet."""

    def __init__(
        self,
        addresses: Addresses,
        port_keeper: PortKeeper,
        logbook: Logbook,
        recordings: Recordings | None = None,
        make: MakePrinter | None = None,
    ) -> None:
        """Prepare.

        Args:
            addresses: returns the baudrates at which a printer may answer.
            port_keeper: watches the port of each printer.
            logbook: the printers write to it.
            recordings: records the conversations; None: they are not recorded.
            make: makes the printers; None: `hal.registry.create` does, by their addresses.
        """
        self._addresses = addresses
        self._port_keeper = port_keeper
        self._logbook = logbook
        self._recordings = recordings
        self._make = make

    def make(self, config: Config, address: Address, rate: int | None = None, path: str | None = None) -> Printer:
        """Make a printer. If several baudrates have to be tried, the printer gets less time to answer at each.

        Args:
            config: the configuration.
            address: the printer's.
            rate: the baudrate to try; None: the likeliest one.
            path: the present path of its port; None: as in the address.
        """
        rates, settings = self._addresses.rates(address), settings_of(config)
        address = self._addresses.with_baudrate(address, rate or rates[0])
        if len(rates) > 1:
            settings = replace(settings, greeting_timeout=ANSWER_TIMEOUT)
        address = at_path(address, path or address.target)

        def wrap(transport: Transport) -> Transport:
            self._port_keeper.watch(transport)
            return self._recordings.wrap(transport, settings_of(config)) if self._recordings else transport

        if self._make is not None:
            return self._make(address, settings, wrap)
        return create(address, settings, wrap, self._logbook)

    def make_absent(self, config: Config, address: Address) -> Printer:
        """Return a printer that is not connected; it writes to no logbook and no recording."""
        address = self._addresses.with_baudrate(address, self._addresses.rates(address)[0])
        if self._make is not None:
            return self._make(address, settings_of(config), lambda transport: transport)
        return create(address, settings_of(config))


def settings_of(config: Config) -> LinkSettings:
    """Return the user's settings of the link."""
    return LinkSettings(
        greeting_timeout=config.printer.connect_timeout_s,
        answer_timeout=config.link.answer_timeout_s,
        poll_interval=config.printer.poll_active_s,
        idle_interval=config.printer.poll_idle_s,
        window_lines=config.link.window_lines,
        window_bytes=config.link.window_bytes,
        long_commands=" ".join(each.split()[0] for each in config.link.long_commands),
        compact=config.link.compact,
        packing=config.link.packing,
        extruders=config.profile.hotends,
        shared_nozzle=config.profile.shared_nozzle,
        outlasts_silence=config.printer.reattach_s > 0,
        heated_chamber=config.profile.heated_chamber,
    )
