"""Handshake: finds out which firmware is at the other end, at the first contact and when the host reattaches.

At the first contact the printer is greeted (`gcode/greeting.py`), asked for its name by M115, and tested for a halt, as
Klipper and Smoothieware answer M115 even while halted. If the host reattaches, the lines in flight are settled first:
by the link, or by a probe if no record of them is left (`gcode/line_probe.py`). M115 then shows whether it is the same
printer. In both cases a MeatPack decoder is set up last, while nothing is in flight.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from gcode.dialect import UNKNOWN, Dialect, recognise
from gcode.errors import FirmwareHalted, PrinterReset
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.line_probe import LineProbe
from gcode.link import HostLink
from gcode.packing import BEGIN, RESET, DecoderState
from gcode.replies import Capability, FirmwareError, FirmwareInfo, acknowledges, parse
from hal.commands import Commands
from hal.errors import HandshakeFailed
from hal.link_settings import LinkSettings
from hal.logbook import Logbook
from hal.printer import Event, FirmwareIdentity, FirmwareSaid
from hal.pump import Pump

DECODER_TIMEOUT = 0.5  # seconds to wait for the decoder's answer to an order; nothing else is in flight
UNPACKING_OFF = DecoderState(unpacks=False, blanks=True)
UNPACKING_ON = DecoderState(unpacks=True, blanks=True)

LATE_OK_TIMEOUT = 0.2  # seconds to wait for the answer to M115 if a late `ok` of the greeting has come first

REVIVAL_INTERVAL = 1.0  # seconds before each test whether a revived firmware obeys
HALT_TEST_TIMEOUT = 5.0  # seconds to wait for the answer to a halt test
MAX_REPLY = 500  # bytes that are parsed of each line of that answer
REVIVAL_TIMEOUT = 30.0  # seconds in which a revived firmware has to obey


class Handshake:
    """Greets the printer, and makes the link for the firmware that answers.

    Attributes:
        identity: the firmware's answer to M115.
    """

    def __init__(
        self,
        pump: Pump,
        commands: Commands,
        settings: LinkSettings,
        logbook: Logbook | None,
        publish: Callable[[Event], None],
    ) -> None:
        """Prepare; nothing is sent. `publish` passes an event to the listeners."""
        self.identity = FirmwareIdentity()
        self._publish = publish
        self._pump = pump
        self._commands = commands
        self._settings = settings
        self._logbook = logbook
        self._banner: list[str] = []
        self._booted = False  # the board booted during the greeting
        self._has_warned_of_wait = False
        self._decoder: DecoderState | None = None  # the last state that the MeatPack decoder reported
        self._decoder_reported = asyncio.Event()
        self._errors = UNKNOWN.errors  # of the dialect

    def make_link(self, dialect: Dialect) -> HostLink:
        """Make a link for a new conversation, and give it to the pump."""
        baudrate = self._pump.transport.baudrate
        byte_time, book = 10 / baudrate if baudrate else 0.0, self._logbook
        callbacks = (book.note, book.may_go) if book is not None else ()
        self._pump.link = HostLink(self._settings.adapt(dialect), byte_time, *callbacks)
        return self._pump.link

    async def first_contact(self, *, revive: bool = False) -> None:
        """Find out which firmware answers; with `revive`, revive a halted one.

        Raises:
            HandshakeFailed: nothing answers.
            FirmwareHalted: the firmware has halted, and still does not obey.
        """
        await self._greet()
        await self._identify()
        reason = await self._halt_reason()
        # without a halt test: a firmware that has just booted obeys; any other may be halted
        may_be_halted = reason is not None or (self._errors.halt_test is None and not self._booted)
        if revive and may_be_halted and self._errors.revival is not None and not self._pump.has_ended:
            reason = await self._revive(self._errors.revival)
        if reason is not None:
            raise FirmwareHalted(f"the firmware has halted: {reason}{self._errors.remedy}")
        await self._set_up_packing()

    def reattach(self, snapshot: LinkSnapshot, identity: FirmwareIdentity) -> None:
        """Make the link, and reattach it to the previous host's conversation."""
        link = self.make_link(recognise(identity.name))
        if self._logbook is not None and self._logbook.may_expect_packed:
            link.assume_packing()
        link.reattach(snapshot, asyncio.get_running_loop().time())
        if self._logbook is not None:
            self._logbook.reattach(snapshot)

    async def reattach_by_probe(self, estimate: LinkEstimate, identity: FirmwareIdentity) -> None:
        """Probe for the line that the printer wants, and reattach there; no record of earlier lines is left.

        Raises:
            RemoteProtocolError: the printer does not name a line, or it is another printer.
        """
        dialect = recognise(identity.name)
        unpacks, now = identity.capabilities.get("MEATPACK"), asyncio.get_running_loop().time()
        probe = LineProbe(dialect, estimate.number, now, unpacks=unpacks)
        line = await self._pump.probe(probe, self.warn_of_wait)
        if self._logbook is not None:
            self._logbook.begin()
            self._logbook.may_expect_packed = probe.may_unpack
        self.reattach(estimate.snapshot(line, dialect), identity)
        self._pump.turn()
        await self.confirm_identity(identity)

    async def confirm_identity(self, identity: FirmwareIdentity) -> None:
        """Check that the printer is the one that the previous host spoke to; there has to be a link.

        Raises:
            PrinterReset: it is another printer.
        """
        await self._identify()  # answered after everything that was in flight
        if self._errors.halt_test is not None:
            await self._commands.send(self._errors.halt_test.decode())  # the answer of a halted firmware ends the link
        if self.identity.uuid != identity.uuid or self.identity.name != identity.name:
            actual, expected = (f"{each.name} {each.uuid or ''}".strip() for each in (self.identity, identity))
            raise PrinterReset(f"another printer is connected: {actual}, not {expected}")
        await self._set_up_packing()

    async def _greet(self) -> None:
        timeout = self._settings.greeting_timeout
        try:
            packed = self._logbook is not None and self._logbook.may_expect_packed
            greeting = await self._pump.greet(timeout, self._warn_busy, packed=packed)
        except TimeoutError:
            heard = self._pump.greeting is not None and self._pump.greeting.has_heard
            raise HandshakeFailed(
                f"no printer answers on {self._pump.transport.address} within {timeout:g} s: "
                f"{'the bytes it sends are not from a G-code firmware' if heard else 'it sends nothing'}; "
                "is it switched on, and is the baudrate right?"
            ) from None
        self._banner = greeting.banner
        self._booted = greeting.has_booted
        self._pump.greeting = None
        if self._logbook is not None:
            self._logbook.begin()
        self.make_link(UNKNOWN)

    def _warn_busy(self) -> None:
        text = "the printer is busy: it heats or waits for its user; it will answer when that is done"
        self._publish(FirmwareSaid(text, "warning"))

    def warn_of_wait(self) -> None:
        """Tell the user, once, that the printer waits for them, and the print with it."""
        if not self._has_warned_of_wait:
            self._has_warned_of_wait = True
            text = "the printer waits for its user: answer it at its panel; until then the print stands still, hot"
            self._publish(FirmwareSaid(text, "warning"))

    async def _identify(self) -> None:
        await self._commands.send("M115")
        if not self.identity.fields:
            await asyncio.sleep(LATE_OK_TIMEOUT)
        name = self.identity.fields.get("FIRMWARE_NAME", "")
        dialect = recognise(name, self._banner)
        self.identity = replace(self.identity, name=name or dialect.name, uuid=self.identity.fields.get("UUID"))
        if self._pump.link:
            self._pump.link.dialect = self._settings.adapt(dialect)
        self._errors = dialect.errors

    # -- packed lines --------------------------------------------------------------------------------------

    async def _set_up_packing(self) -> None:
        """Send packed lines from now on if the firmware confirms that it unpacks them; nothing is in flight."""
        link = self._pump.link
        packing = link.dialect.packing if link is not None else None
        if link is None or packing is None or self._pump.has_ended:
            return
        if packing == "reported" and not self.identity.can("MEATPACK"):
            return
        if await self._order_decoder(RESET + b"\n", UNPACKING_OFF) is None:
            return  # the firmware has no decoder
        if self._pump.has_ended:
            return  # an emergency stop: a firmware that expects packed bytes would not read the M112s to come
        if self._logbook is not None:
            self._logbook.may_expect_packed = True  # recorded before the order: this host may die in between
        if await self._order_decoder(BEGIN, UNPACKING_ON) == UNPACKING_ON:
            link.pack()
        elif not self._pump.has_ended:
            link.assume_packing()
            text = "the firmware does not confirm that it unpacks lines (MeatPack): they are sent unpacked"
            self._publish(FirmwareSaid(text, "warning"))

    async def _order_decoder(self, orders: bytes, expected: DecoderState) -> DecoderState | None:
        """Give orders to the decoder, and wait until it reports the expected state; return its last reported state.

        The wait ends after DECODER_TIMEOUT seconds. None: the decoder has reported no state.
        """
        self._decoder = None
        self._pump.write(orders)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DECODER_TIMEOUT):
                while self._decoder != expected:
                    self._decoder_reported.clear()
                    await self._decoder_reported.wait()
        return self._decoder

    def note_decoder(self, state: DecoderState) -> None:
        """Note the state that the decoder reports."""
        self._decoder = state
        self._decoder_reported.set()

    # -- a firmware that has halted and still answers ------------------------------------------------------

    async def _halt_reason(self) -> str | None:
        """Return why the firmware has halted; None: it obeys, or no test shows that it does not.

        The test bypasses the link, which the answer would end.
        """
        test = self._errors.halt_test
        if test is None or self._pump.has_ended:
            return None
        answer = _HaltTest()
        self._pump.bypass = receive = answer.receive
        self._pump.write(test + b"\n")
        try:
            await asyncio.wait([answer.reason], timeout=HALT_TEST_TIMEOUT)
        finally:
            if self._pump.bypass == receive:  # an emergency stop may have replaced it
                self._pump.bypass = None
        return answer.reason.result() if answer.reason.done() else None

    async def _revive(self, command: bytes) -> str | None:
        """Send the command that revives the firmware, and greet it; return why it is still halted; None: it obeys."""
        loop = asyncio.get_running_loop()
        end = loop.time() + REVIVAL_TIMEOUT
        self._pump.link = None  # ends the old conversation: the firmware may still request lines of it
        self._pump.write(b"\n" + command + b"\n")
        await asyncio.sleep(REVIVAL_INTERVAL)
        await self._greet()
        await self._identify()
        reason = await self._halt_reason()
        while reason is not None and loop.time() < end:  # Klipper takes some seconds to find its boards
            await asyncio.sleep(REVIVAL_INTERVAL)
            reason = await self._halt_reason()
        if reason is None:
            await self._turn_heaters_off()
        return reason

    async def _turn_heaters_off(self) -> None:
        """Turn the heaters off: a revived firmware may still have the targets from before the halt."""
        for command in self._settings.heaters_off({}).decode().splitlines():
            await self._commands.send(command)

    def note(self, reply: FirmwareInfo | Capability) -> None:
        """Note a part of the answer to M115."""
        if isinstance(reply, FirmwareInfo):
            self.identity = replace(self.identity, fields=reply.fields)
        else:
            self.identity.capabilities[reply.name] = reply.enabled


class _HaltTest:
    """Reads the answer to a halt test; `reason` is that of the halt, or None if the firmware has not halted."""

    def __init__(self) -> None:
        self.reason: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._partial = b""

    def receive(self, data: bytes) -> None:
        """Take bytes from the printer."""
        *lines, partial = (self._partial + data).split(b"\n")
        self._partial = partial[-MAX_REPLY:]
        for line in lines:
            reply = parse(line.strip(b"\r\0")[:MAX_REPLY])
            if isinstance(reply, FirmwareError):
                self._end(reply.text or reply.line)
            elif acknowledges(reply):
                self._end(None)

    def _end(self, reason: str | None) -> None:
        if not self.reason.done():
            self.reason.set_result(reason)
