"""Connection: the one printer of this daemon. It connects, reconnects, and disconnects."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, replace

import structlog

from daemon.bridge.words import PortOptions
from daemon.config import Config, ProfileConfig
from daemon.core.connection.addresses import Addresses, port_name
from daemon.core.connection.client_commands import ClientCommands
from daemon.core.connection.losing import LossCount, wait_until_lost
from daemon.core.connection.making import MakePrinter, PrinterMaker, settings_of
from daemon.core.connection.port_keeper import PortKeeper
from daemon.core.connection.port_memory import PortMemory
from daemon.core.connection.printer_log import PrinterLog
from daemon.core.connection.recordings import Recordings
from daemon.systemd.descriptors import DescriptorStore
from gcode.errors import FirmwareHalted, NozzledError, PrinterSilent
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.frozen import frozen
from gcode.modes import Modes
from gcode.replies import Heaters
from hal.errors import AddressError, HandshakeFailed, NotConnected, PortError, PortLost
from hal.logbook import Logbook
from hal.ports import UsbDevice
from hal.printer import (
    ActionRequested,
    CommandSink,
    ConnectionState,
    Event,
    FirmwareIdentity,
    FirmwareSaid,
    PanelPrint,
    Printer,
    Prompt,
    StateChanged,
    StopEnded,
)
from hal.registry import Address, parse

REOPEN_INTERVAL = 0.25  # s between two attempts to open the port again
STOP_TIMEOUT = 10.0  # s after which the user is told that the emergency stop could not be sent
STABLE_AFTER_S = (
    10.0  # s for which a board has to stay READY after a halt before retries are as frequent as usual again
)
MAX_RETRY_INTERVAL = 30.0  # s between attempts to reach a halted board: each may reset it

log = structlog.get_logger()


class Connection:
    """Owns at most one `Printer`; listeners get every printer's events."""

    def __init__(
        self,
        config: Config,
        extra_ports: Sequence[str] = (),
        recordings: Recordings | None = None,
        make: MakePrinter | None = None,
        logbook: Logbook | None = None,
        descriptors: DescriptorStore | None = None,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            config: its printer and link sections.
            extra_ports: globs of further ports that clients may connect to.
            recordings: records the conversations; None: they are not recorded.
            make: makes the printers; None: `hal.registry.create` does, by their addresses.
            logbook: the printers write to it, for the next host; None: one in memory of this process.
            descriptors: keeps the port open over a restart; None: the port is closed.

        Raises:
            AddressError: the configured address is invalid.
        """
        self.printer: Printer | None = None
        self.commands = ClientCommands(self)
        self.stop_confirmed: bool | None = None  # whether the last emergency stop was confirmed; None: not known yet
        self.logbook = logbook or Logbook()
        self._port_keeper = PortKeeper(descriptors)
        self._reconnects = False  # a lost connection is made again, for as long as it takes
        self._saves_choice = False  # the next printer that answers becomes this daemon's printer
        self.on_chosen: Callable[[str], None] = lambda _: None  # called with the address of this daemon's new printer
        self._needs_revival = False  # the firmware has halted; only a user may have it revived
        self._waits_for_user = False  # after an emergency stop no connection is made until the user asks for one
        self._config = config
        self._recordings = recordings
        self._addresses = Addresses(config.printer, extra_ports)
        self._maker = PrinterMaker(self._addresses, self._port_keeper, self.logbook, recordings, make)
        self._target: Address | None = self._addresses.own
        self._ports = PortMemory()
        self._error: NozzledError | None = None
        self._log = PrinterLog(lambda: self.printer, lambda: self.address)
        self._on_profile: list[Callable[[], None]] = []
        self._listeners: list[Callable[[Event], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._reattachment: _Reattachment | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._leave_task: asyncio.Task[None] | None = None  # disconnects at the printer's request
        self._before_close: Callable[[], Awaitable[None]] | None = None
        self._left_hot: Callable[[], bool] = lambda: False

    # -- state ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The connection's state; without a printer it is OFFLINE, or FAULT if no printer could be made."""
        if self.printer is None:
            return ConnectionState.FAULT if self._error else ConnectionState.OFFLINE
        return self.printer.state

    @property
    def ready(self) -> bool:
        """A printer is connected and takes commands."""
        return self.state is ConnectionState.READY

    @property
    def error(self) -> str | None:
        """Why the last connection failed, if it did."""
        return str(self._error) if self._error else None

    @property
    def address(self) -> str | None:
        """The address of the open, or last tried, connection."""
        return str(self._target) if self._target else None

    @property
    def port(self) -> str | None:
        """The port of that address, as clients name it."""
        return port_name(self._target) if self._target else None

    @property
    def baudrate(self) -> int | None:
        """The baudrate of the connection, for clients; None: not known yet."""
        if self.printer is not None and self.printer.baudrate is not None:
            return self.printer.baudrate
        return self._addresses.baudrate(self._target) if self._target else None

    @property
    def heaters(self) -> Heaters:
        """The last temperature report; empty before the first, and while the printer is not READY."""
        return self.printer.heaters if self.printer and self.ready else {}

    @property
    def modes(self) -> Modes:
        """The modes in which the printer will read the next coordinates."""
        return self.printer.modes if self.printer else Modes()

    @property
    def panel_print(self) -> PanelPrint | None:
        """The print from the printer's own SD card, if any."""
        return self.printer.panel_print if self.printer and self.ready else None

    @property
    def message(self) -> str | None:
        """The printer's last text for the user; not to be trusted."""
        return self.printer.message if self.printer and self.ready else None

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows; not to be trusted."""
        return self.printer.prompt if self.printer and self.ready else None

    @property
    def config(self) -> Config:
        """The configuration, with the present profile."""
        return self._config

    @property
    def profile(self) -> ProfileConfig:
        """The printer's present profile."""
        return self._config.profile

    def use_profile(self, profile: ProfileConfig) -> None:
        """Use another profile, in this turn of the loop and for the open connection too."""
        self._config = replace(self._config, profile=profile)
        if self.printer is not None:
            self.printer.use_settings(settings_of(self._config))
        for listener in self._on_profile:
            listener()

    def on_profile(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the profile has changed."""
        self._on_profile.append(listener)

    async def options(self) -> PortOptions:
        """List what a client may connect to; opens nothing."""
        return await self._addresses.options(self._target if self.printer is not None else None)

    def remember(self, port: str, baudrate: int, device: UsbDevice | None = None) -> None:
        """Note what an earlier process knew about a port: the board that answered there, and its baudrate."""
        self._addresses.remember(port, baudrate)
        if device is not None:
            self._ports.remember(port, device)

    @property
    def device(self) -> UsbDevice | None:
        """The board that was connected last; None: not known."""
        return self._ports.device(self._target.target) if self._target is not None else None

    @property
    def stable_port(self) -> str | None:
        """The most stable name of the port that was connected last."""
        return self._ports.stable_name(self._target.target) if self._target is not None else None

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event of this and later printers."""
        self._listeners.append(listener)

    def before_close(self, make_safe: Callable[[], Awaitable[None]]) -> None:
        """Await `make_safe` before the connection to a printer is closed on purpose."""
        self._before_close = make_safe

    def reconnect_while(self, left_hot: Callable[[], bool]) -> None:
        """Keep trying to reach a lost printer for as long as `left_hot` returns True."""
        self._left_hot = left_hot

    # -- connecting ----------------------------------------------------------------------------------------

    def keep_connected(self) -> None:
        """Connect to this daemon's printer, trying until it is there; does nothing if there is none."""
        if self._addresses.own is not None:
            self._begin(self._addresses.own, reconnects=True)

    def reach_hot_printer(self, address: str) -> None:
        """Connect to a printer that a print left hot, trying until it is there, unless this daemon has a printer."""
        if self._addresses.own is not None:
            return  # `keep_connected` connects to that one; or the user has chosen another since
        try:
            self._begin(parse(address), reconnects=False)
        except AddressError as error:
            log.warning("printer.still_hot", printer=address, reason=str(error))

    async def connect(
        self, port: str | None = None, baudrate: int | None = None, *, find: bool = False, save: bool = False
    ) -> None:
        """Connect in the background; `state` and `error` have the outcome. A halted firmware is revived.

        If this daemon's printer does not answer, attempts go on until it does; another printer is tried once,
        unless its firmware has halted.

        Args:
            port: path or address of this daemon's printer, of a listed port, or of a port that a glob allows; or
                VIRTUAL; None: this daemon's printer.
            baudrate: bits per second; None: as configured.
            find: try the usual baudrates, whatever is configured.
            save: if this printer answers and none is configured, it becomes this daemon's printer.

        Raises:
            PortNotAllowed: clients may not connect to that port, or no port is named.
            AddressError: the port's address is invalid.
        """
        address = await self._addresses.resolve(port, None if find else baudrate)
        if find:
            self._addresses.try_baudrates(address.target)
        self._saves_choice = save
        self._begin(address, reconnects=self._addresses.is_own(address), revive=True)

    @property
    def halted(self) -> bool:
        """The printer is not READY because its firmware has halted."""
        return not self.ready and isinstance(self._error, FirmwareHalted)

    def revive(self) -> None:
        """Connect again to a firmware that has halted, and revive it.

        Raises:
            NotConnected: there has been no attempt to connect yet.
        """
        if self._target is None:
            raise NotConnected("the printer is not connected")
        self._begin(self._target, reconnects=self._reconnects, revive=True)

    def make_absent(self, address: str) -> Printer:
        """Return a printer that is not connected, for `reattach` to replace.

        Raises:
            AddressError: the address is invalid.
        """
        return self._maker.make_absent(self._config, parse(address))

    def reattach(
        self, address: str, snapshot: LinkSnapshot | LinkEstimate, identity: FirmwareIdentity, losses: LossCount
    ) -> "asyncio.Future[Printer]":
        """Reattach, in the background, to the conversation that the previous host left at this address.

        Attempts to open the port go on for `reattach_s`; a printer that was back and is lost again is counted in
        `losses`. The result of the future is the printer, READY for the line after those that had been sent. If the
        future raises an error, attempts to connect begin.
        """
        self._reconnects = self._reconnects or (self._addresses.own is not None and str(self._addresses.own) == address)
        printer: asyncio.Future[Printer] = asyncio.get_running_loop().create_future()
        self._begin(
            parse(address), reconnects=self._reconnects, reattachment=_Reattachment(snapshot, identity, losses, printer)
        )
        return printer

    def _begin(
        self, address: Address, *, reconnects: bool, reattachment: "_Reattachment | None" = None, revive: bool = False
    ) -> None:
        revive = revive and self._needs_revival
        self._needs_revival = self._needs_revival and not revive
        self._reconnects, self._reattachment, self._waits_for_user = reconnects, reattachment, False
        self._replace_task(
            lambda previous: self._run(
                address, previous, reconnects=reconnects, reattachment=reattachment, revive=revive
            )
        )
        if reattachment is not None and self._task is not None:
            # whatever ends the task, even before it has begun: otherwise the job would wait for ever
            error = NotConnected("the printer was disconnected")
            self._task.add_done_callback(lambda _: _fail(reattachment.printer, error))

    def _replace_task(self, work: Callable[[asyncio.Task[None] | None], Coroutine[None, None, None]]) -> None:
        """Replace the task that works on the connection; the old one is cancelled, and `work` waits for its end."""
        old, self._task = self._task, asyncio.create_task(work(self._task))
        if old is not None:
            old.cancel()

    async def _run(
        self,
        address: Address,
        previous: asyncio.Task[None] | None,
        *,
        reconnects: bool,
        reattachment: "_Reattachment | None" = None,
        revive: bool = False,
    ) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        await self._close()
        self._target = address
        if reattachment is not None:
            await self._reattach(address, reattachment)
        else:
            await self._connect(address, revive=revive)
        seek_board = False  # True: look for the board that was connected, whatever its port is called now
        delay = self._config.printer.retry_s
        retry_at_once = reattachment is not None and not self.ready
        while True:
            if self.printer is not None and self.ready:
                reattachment, seek_board = None, True
                if await wait_until_lost(self.printer) > STABLE_AFTER_S:
                    delay = self._config.printer.retry_s
            # after a failed reattach the heaters may still be on, although `left_hot` does not say so yet
            retries = (
                reconnects
                or self._reconnects
                or reattachment is not None
                or self._left_hot()
                or isinstance(self._error, FirmwareHalted)
            )
            if self._waits_for_user or not retries:
                return
            if not retry_at_once:
                await asyncio.sleep(delay)
            if isinstance(self._error, FirmwareHalted):
                delay = min(2 * delay, max(MAX_RETRY_INTERVAL, self._config.printer.retry_s))
            retry_at_once = False
            await self._connect(address, seek_board=seek_board)

    async def _reattach(self, address: Address, reattachment: "_Reattachment") -> None:
        """Reattach; while the port cannot be opened or the printer is silent, try again for `reattach_s` seconds.

        If the printer was back, and is lost again, these seconds begin again, as long as the LossCount allows it.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._config.printer.reattach_s
        snapshot = reattachment.snapshot
        while True:
            began, printer = loop.time(), None
            try:
                path = await self._ports.find_same_board(address)
                await self._ports.note_board(address, path)
                printer = self._make(address, path=path)
                await printer.reattach(snapshot, reattachment.identity, keep_heat_until=end)
            except NozzledError as error:
                # the port is not there yet, another process still holds it, or the printer is still silent
                was_back = printer is not None and printer.heard_at > began
                if isinstance(error, PortLost) and was_back and reattachment.losses.add():
                    end = loop.time() + self._config.printer.reattach_s
                if not isinstance(error, PortError | PrinterSilent) or loop.time() >= end:
                    self._error = error
                    _fail(reattachment.printer, error)
                    return
            else:
                self._error = None
                if not reattachment.printer.done():
                    reattachment.printer.set_result(printer)
                return
            await asyncio.sleep(REOPEN_INTERVAL)
            if isinstance(snapshot, LinkSnapshot):
                # an attempt that lost its connection may have sent commands, which took line numbers
                snapshot = self.logbook.snapshot() or snapshot

    def _make(self, address: Address, rate: int | None = None, path: str | None = None) -> Printer:
        """Make the printer of this connection, and listen to it."""
        self.printer = printer = self._maker.make(self._config, address, rate, path)
        printer.subscribe(self._on_event)
        return printer

    async def _connect(self, address: Address, *, seek_board: bool = False, revive: bool = False) -> None:
        """Try once; a failure is logged unless it is the same as the last one."""
        before = self.error
        if not isinstance(self._error, FirmwareHalted):
            self._error = None
        self._port_keeper.release()
        rates = self._addresses.rates(address)
        for rate in rates:
            try:
                path = await self._ports.find_path(address, seek_board=seek_board)
                await self._ports.note_board(address, path)
                printer = self._make(address, rate, path)
                await printer.open(revive=revive)
            except HandshakeFailed as error:
                self._note_error(error)  # the next baudrate may be the right one
                self._addresses.forget(address.target)
            except NozzledError as error:
                self._note_error(error)
                break
            else:
                await self._on_connected(printer, address, rate)
                return
        else:
            if len(rates) > 1:
                silent = _silent_at_every_rate(address, rates)
                self._on_event(StateChanged(ConnectionState.FAULT, ConnectionState.FAULT, silent))
        if str(self._error) != before:
            log.warning("printer.unreachable", printer=str(address), reason=str(self._error))

    def _note_error(self, error: NozzledError | None) -> None:
        """Note the error, unless the port is only missing and the firmware is known to have halted."""
        if not (isinstance(self._error, FirmwareHalted) and isinstance(error, PortError)):
            self._error = error
        self._needs_revival = self._needs_revival or isinstance(error, FirmwareHalted)

    async def _on_connected(self, printer: Printer, address: Address, rate: int) -> None:
        self._error = None
        if len(self._addresses.rates(address)) > 1:
            self._addresses.remember(address.target, rate)
            log.warning(
                "printer.baudrate_found", baudrate=rate, hint="set it in the configuration, and connecting is faster"
            )
        if self._saves_choice:
            self._choose(address, rate)
        log.info(
            "printer.connected", printer=str(address), firmware=printer.identity.name, **asdict(printer.flow_control)
        )
        await self._run_connected_script(printer)

    def _choose(self, address: Address, rate: int) -> None:
        """Make the printer that has just answered this daemon's printer, by the most stable name of its port."""
        self._saves_choice = False
        lasting = replace(self._addresses.with_baudrate(address, rate), target=self._ports.stable_name(address.target))
        if self._addresses.choose(lasting):
            self._reconnects = True
            self.on_chosen(str(self._addresses.own))

    async def _run_connected_script(self, printer: CommandSink) -> None:
        """Run the script for a printer that has just connected; the printer stays connected if the script fails."""
        try:
            for command in self._config.scripts.connected:
                self.commands.refuse_too_hot(command.encode("ascii", "replace"))
                await printer.send(command)
        except NozzledError as error:
            log.warning("printer.script_failed", script="connected", reason=str(error))

    def _on_event(self, event: Event) -> None:
        self._log.on_event(event)
        if isinstance(event, StateChanged):
            self._on_state(event)
        elif isinstance(event, StopEnded):
            self.stop_confirmed = event.confirmed
        elif isinstance(event, ActionRequested) and event.name == "disconnect" and self._leave_task is None:
            self._leave_task = asyncio.create_task(self._leave())
        for listener in tuple(self._listeners):
            listener(event)

    def _on_state(self, event: StateChanged) -> None:
        self._port_keeper.on_state(event.new)
        if event.new is ConnectionState.READY:
            self._ports.confirm_board()
            self.stop_confirmed = None
        if event.new is ConnectionState.FAULT:
            self._note_error(event.error)
            if event.old is ConnectionState.READY and self._recordings and self.printer:
                self._recordings.keep_tail(self.printer, settings_of(self._config))

    # -- ending --------------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Disconnect at the printer's request."""
        log.warning("printer.disconnecting", reason="the printer asked for it")
        try:
            await self.disconnect()
        finally:
            self._leave_task = None

    def hand_over(self) -> None:
        """Leave the port open for the next host."""
        self._port_keeper.leaves_open = True

    async def disconnect(self) -> None:
        """Close the connection and stop trying, after ending a running job and turning its heaters off."""
        self._waits_for_user = False
        while (task := self._task) is not None:  # a job that lost its connection may have begun another task
            if self._waits_for_user:
                return  # meanwhile there was an emergency stop, which opens the port
            self._task = None
            task.cancel()
            await asyncio.wait([task])
        self._error = None
        await self._close()

    async def _close(self) -> None:
        """Close the connection. Once this has begun it cannot be cancelled: the printer might be left heating."""
        if self._close_task is None or self._close_task.done():
            self._close_task = asyncio.create_task(self._make_safe_and_close())
        await asyncio.shield(self._close_task)

    async def _make_safe_and_close(self) -> None:
        if self.printer is None:
            return
        if self.ready and self._before_close is not None:
            await self._before_close()
        await self.printer.close()
        self.printer = None
        if self._recordings is not None:
            await self._recordings.finish()

    # -- an emergency stop ----------------------------------------------------------------------------------

    def emergency_stop(self, reason: str = "emergency stop") -> None:
        """Stop the printer, whatever state its connection is in; awaits nothing.

        A closed port is opened for the stop as soon as possible. `StopEnded` reports the outcome.

        Raises:
            NotConnected: no printer is connected, and there is no attempt to connect to one.
        """
        printer, address = self.printer, self._target
        trying = self._task is not None and not self._task.done()  # attempts to connect or reattach go on
        if address is None or not (trying or (printer is not None and printer.state is not ConnectionState.OFFLINE)):
            raise NotConnected("the printer is not connected")
        self._waits_for_user = True
        self.stop_confirmed = None
        if printer is not None and (
            printer.is_stopping or printer.state in (ConnectionState.HANDSHAKING, ConnectionState.READY)
        ):
            printer.emergency_stop(reason)
            return
        if self._reattachment is not None:
            _fail(self._reattachment.printer, FirmwareHalted(reason))
        self._replace_task(lambda previous: self._open_to_stop(address, previous, reason))

    async def _open_to_stop(self, address: Address, previous: asyncio.Task[None] | None, reason: str) -> None:
        """Open the port for an emergency stop, trying until it is open."""
        if previous is not None:
            await asyncio.wait([previous])
        if self.printer is not None:
            await self.printer.close()
        self._port_keeper.release()
        self._error = FirmwareHalted(reason)
        loop = asyncio.get_running_loop()
        began, reported = loop.time(), False
        while True:
            try:
                printer = self._make(address, path=await self._ports.find_path(address, seek_board=True))
                await printer.open_to_stop(reason)
            except NozzledError as error:
                if not reported and loop.time() - began >= STOP_TIMEOUT:
                    reported = True
                    advice = "CUT THE PRINTER'S POWER if it moves or heats"
                    text = f"the emergency stop could not be sent: {advice}. The reason: {error}"
                    self._on_event(FirmwareSaid(text, "error"))
                    self._on_event(StopEnded(confirmed=False))
            else:
                return
            await asyncio.sleep(self._config.printer.retry_s if reported else REOPEN_INTERVAL)


@frozen
class _Reattachment:
    """A conversation to reattach to, and the future that waits for its printer."""

    snapshot: LinkSnapshot | LinkEstimate
    identity: FirmwareIdentity
    losses: LossCount
    printer: "asyncio.Future[Printer]"


def _silent_at_every_rate(address: Address, rates: Sequence[int]) -> HandshakeFailed:
    """Return the error for a port on which no printer answers at any of several baudrates."""
    tried = ", ".join(map(str, rates))
    return HandshakeFailed(
        f"no printer answers on {address.target} at any of the usual baudrates ({tried}); "
        "is it switched on, and is this its port?"
    )


def _fail(waiter: "asyncio.Future[Printer]", error: NozzledError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
        waiter.exception()  # retrieved, so that asyncio does not warn if the job has ended meanwhile
