"""Handshake: finding out who is at the other end, for the first time or again."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from gcode.asking import Asking
from gcode.dialect import UNKNOWN, Dialect, recognise
from gcode.errors import FirmwareHalted, PrinterReset
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.link import HostLink
from gcode.packing import BEGIN, RESET, DecoderSaid
from gcode.replies import Capability, FirmwareError, FirmwareInfo, acknowledges, parse
from hal.commands import Commands
from hal.errors import HandshakeFailed
from hal.link_settings import LinkSettings
from hal.logbook import Logbook
from hal.printer import Event, FirmwareIdentity, FirmwareSaid
from hal.pump import Pump

CONFIRMING = 0.5  # seconds to wait for the decoder's answer to an order; nothing else is in flight
RESTS = DecoderSaid(unpacks=False, blanks=True)
READY = DecoderSaid(unpacks=True, blanks=True)

STRAGGLERS = 0.2  # seconds to wait for the answer to M115 if a late `ok` of the greeting has come in its place

REVIVED = 1.0  # seconds to wait after the command that revives a firmware, and between two looks whether it obeys
ANSWERING = 5.0  # seconds to wait for the answer that says whether it has halted
LONGEST = 500  # bytes of a line of that answer that are looked at
REVIVING = 30.0  # seconds in which a revived firmware has to obey again


class Handshake:
    """Greets the printer, and makes a link for the firmware that answers.

    Attributes:
        identity: what M115 said.
    """

    def __init__(
        self,
        pump: Pump,
        commands: Commands,
        settings: LinkSettings,
        logbook: Logbook | None,
        publish: Callable[[Event], None],
    ) -> None:
        """Prepare; nothing is said. `publish` tells the listeners."""
        self.identity = FirmwareIdentity()
        self._publish = publish
        self._pump = pump
        self._commands = commands
        self._settings = settings
        self._logbook = logbook
        self._banner: list[str] = []
        self._booted = False  # the board booted while it was greeted
        self._decoder: DecoderSaid | None = None  # the last state that the MeatPack decoder has reported
        self._decoder_told = asyncio.Event()
        self._errors = UNKNOWN.errors  # what the firmware that answered says when something is wrong

    def make_link(self, dialect: Dialect) -> HostLink:
        """Begin a conversation: make the link, and give it to the pump."""
        baudrate = self._pump.transport.baudrate
        byte_time, book = 10 / baudrate if baudrate else 0.0, self._logbook
        journal = (book.note, book.may_go) if book is not None else ()
        self._pump.link = HostLink(self._settings.adapted(dialect), byte_time, *journal)
        return self._pump.link

    async def first_contact(self, *, revive: bool = False) -> None:
        """Find out which firmware answers; with `revive`, tell one that stays halted to obey again.

        Raises:
            HandshakeFailed: nothing answers.
            FirmwareHalted: it has halted, and still does not obey.
        """
        await self._greet()
        await self._introduce()
        halted = await self._why_halted()
        # a firmware that cannot be asked obeys again if it has booted, and may be halted if it has not
        stays = halted is not None or (self._errors.refuses is None and not self._booted)
        if revive and stays and self._errors.revived_by is not None and not self._pump.ended:
            halted = await self._revived(self._errors.revived_by)
        if halted is not None:
            raise FirmwareHalted(f"the firmware has halted: {halted}{self._errors.remedy}")
        await self._agree_on_packing()

    def reattach(self, snapshot: LinkSnapshot, identity: FirmwareIdentity) -> None:
        """Make the link, and reattach it to the conversation of the previous host."""
        link = self.make_link(recognise(identity.name))
        if self._logbook is not None and self._logbook.packs:
            link.may_be_packing()
        link.reattach(snapshot, asyncio.get_running_loop().time())
        if self._logbook is not None:
            self._logbook.reattach(snapshot)

    async def reattach_by_asking(self, estimate: LinkEstimate, identity: FirmwareIdentity) -> None:
        """Ask the printer which line it wants, and reattach there; the lines before it are not known.

        Raises:
            RemoteProtocolError: it does not say, or it is another printer.
        """
        dialect = recognise(identity.name)
        unpacks, now = identity.capabilities.get("MEATPACK"), asyncio.get_running_loop().time()
        asking = Asking(dialect, estimate.number, now, unpacks=unpacks)
        wanted = await self._pump.ask(asking)
        if self._logbook is not None:
            self._logbook.begin()
            self._logbook.packs = asking.may_unpack
        self.reattach(estimate.snapshot(wanted, dialect), identity)
        self._pump.turn()
        await self.confirm_identity(identity)

    async def confirm_identity(self, identity: FirmwareIdentity) -> None:
        """Find out whether the printer is the one that the previous host knew; the link is there already.

        Raises:
            PrinterReset: it is another one.
        """
        await self._introduce()  # answered behind everything that was in flight
        if self._errors.refuses is not None:
            await self._commands.send(self._errors.refuses.decode())  # if it has halted, its answer ends the link
        if self.identity.uuid != identity.uuid or self.identity.name != identity.name:
            found, wanted = (f"{each.name} {each.uuid or ''}".strip() for each in (self.identity, identity))
            raise PrinterReset(f"another printer is on the line: {found}, not {wanted}")
        await self._agree_on_packing()

    async def _greet(self) -> None:
        timeout = self._settings.greeting_timeout
        try:
            packed = self._logbook is not None and self._logbook.packs
            greeting = await self._pump.greet(timeout, self._tell_busy, packed=packed)
        except TimeoutError:
            heard = self._pump.greeting is not None and self._pump.greeting.heard
            raise HandshakeFailed(
                f"no printer answers on {self._pump.transport.address} within {timeout:g} s: "
                f"{'what came is not from a G-code firmware' if heard else 'nothing came'}; "
                "is it switched on, and is the baudrate right?"
            ) from None
        self._banner = greeting.banner
        self._booted = greeting.booted
        self._pump.greeting = None
        if self._logbook is not None:
            self._logbook.begin()
        self.make_link(UNKNOWN)

    def _tell_busy(self) -> None:
        text = "the printer is busy: it heats or waits for its user; it will answer when that is done"
        self._publish(FirmwareSaid(text, "warning"))

    async def _introduce(self) -> None:
        await self._commands.send("M115")
        if not self.identity.fields:
            await asyncio.sleep(STRAGGLERS)
        said = self.identity.fields.get("FIRMWARE_NAME", "")
        dialect = recognise(said, self._banner)
        self.identity = replace(self.identity, name=said or dialect.name, uuid=self.identity.fields.get("UUID"))
        if self._pump.link:
            self._pump.link.dialect = self._settings.adapted(dialect)
        self._errors = dialect.errors

    # -- packed lines --------------------------------------------------------------------------------------

    async def _agree_on_packing(self) -> None:
        """Send packed lines from here on, if the firmware confirms that it unpacks them; nothing is in flight."""
        link = self._pump.link
        packing = link.dialect.packing if link is not None else None
        if link is None or packing is None or self._pump.ended:
            return
        if packing == "told" and not self.identity.can("MEATPACK"):
            return
        if await self._decoder_says(RESET + b"\n", RESTS) is None:
            return  # it has none
        if self._logbook is not None:
            self._logbook.packs = True  # noted first: this host may die between the two
        if await self._decoder_says(BEGIN, READY) == READY:
            link.pack()
        elif not self._pump.ended:
            link.may_be_packing()
            text = "the firmware does not confirm that it unpacks lines (MeatPack): they are sent unpacked"
            self._publish(FirmwareSaid(text, "warning"))

    async def _decoder_says(self, orders: bytes, wanted: DecoderSaid) -> DecoderSaid | None:
        """Give orders to the decoder; return the state that it reports, as soon as that is the wanted one.

        After CONFIRMING seconds, return the last state that it has reported; None: it has reported none.
        """
        self._decoder = None
        self._pump.write(orders)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRMING):
                while self._decoder != wanted:
                    self._decoder_told.clear()
                    await self._decoder_told.wait()
        return self._decoder

    def decoder_said(self, said: DecoderSaid) -> None:
        """Take note of the state that the decoder reports."""
        self._decoder = said
        self._decoder_told.set()

    # -- a firmware that has halted and still answers ------------------------------------------------------

    async def _why_halted(self) -> str | None:
        """Ask why the firmware has halted; None: it obeys. Past the link, which the answer would end."""
        question = self._errors.refuses
        if question is None or self._pump.ended:
            return None
        answer = _Answer()
        self._pump.divert = divert = answer.receive
        self._pump.write(question + b"\n")
        await asyncio.wait([answer.reason], timeout=ANSWERING)
        if self._pump.divert == divert:  # no emergency stop has taken it over
            self._pump.divert = None
        return answer.reason.result() if answer.reason.done() else None

    async def _revived(self, command: bytes) -> str | None:
        """Send the command that revives it, and greet it anew; return why it is still halted, None: it obeys."""
        loop = asyncio.get_running_loop()
        end = loop.time() + REVIVING
        self._pump.link = None  # the old conversation is over, though the firmware may still ask for lines of it
        self._pump.write(b"\n" + command + b"\n")
        await asyncio.sleep(REVIVED)
        await self._greet()
        await self._introduce()
        halted = await self._why_halted()
        while halted is not None and loop.time() < end:  # Klipper takes some seconds to find its boards
            await asyncio.sleep(REVIVED)
            halted = await self._why_halted()
        if halted is None:
            await self._turn_heaters_off()
        return halted

    async def _turn_heaters_off(self) -> None:
        """Turn the heaters off: a revived firmware may still have the targets from before it halted."""
        for command in self._settings.heaters_off({}).decode().splitlines():
            await self._commands.send(command)

    def note(self, reply: FirmwareInfo | Capability) -> None:
        """Take note of what the printer says about itself in the answer to M115."""
        if isinstance(reply, FirmwareInfo):
            self.identity = replace(self.identity, fields=reply.fields)
        else:
            self.identity.capabilities[reply.name] = reply.enabled


class _Answer:
    """The answer to the question whether a firmware has halted: `reason` says why; None: it has not."""

    def __init__(self) -> None:
        self.reason: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._heard = b""

    def receive(self, data: bytes) -> None:
        """Take what comes, in pieces of any size."""
        *lines, rest = (self._heard + data).split(b"\n")
        self._heard = rest[-LONGEST:]
        for line in lines:
            reply = parse(line.strip(b"\r\0")[:LONGEST])
            if isinstance(reply, FirmwareError):
                self._end(reply.text or reply.line)
            elif acknowledges(reply):
                self._end(None)

    def _end(self, reason: str | None) -> None:
        if not self.reason.done():
            self.reason.set_result(reason)
