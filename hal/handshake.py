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

CONFIRMING = 0.5  # seconds for the answer to an order to the decoder, when nothing else is to be done
RESTS = DecoderSaid(unpacks=False, blanks=True)
READY = DecoderSaid(unpacks=True, blanks=True)

STRAGGLERS = 0.2  # seconds for the answer to M115, where its ok was that of a late hello: it is counted as stray then


REVIVED = 1.0  # seconds for what is said to the command that revives a firmware
ANSWERING = 5.0  # seconds for the answer whether it has halted
LONGEST = 500  # bytes of a line of the answer that are looked at
REVIVING = 30.0  # seconds in which it has to obey again


class Handshake:
    """Greets the printer and makes the link, by what the printer says it is.

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
        self._booted = False  # as it was greeted
        self._decoder: DecoderSaid | None = None  # what it said last of the one that unpacks lines
        self._decoder_told = asyncio.Event()
        self._errors = UNKNOWN.errors  # of the firmware that is there

    def make_link(self, dialect: Dialect) -> HostLink:
        """Begin a conversation."""
        baudrate = self._pump.transport.baudrate
        byte_time, book = 10 / baudrate if baudrate else 0.0, self._logbook
        journal = (book.note, book.may_go) if book is not None else ()
        self._pump.link = HostLink(self._settings.adapted(dialect), byte_time, *journal)
        return self._pump.link

    async def first_contact(self, *, revive: bool = False) -> None:
        """Find out who is there; with `revive` a firmware that stays halted is told to obey again.

        Raises:
            HandshakeFailed: nobody answers.
            FirmwareHalted: it has halted, and still does nothing.
        """
        await self._greet()
        await self._introduce()
        halted = await self._why_halted()
        # one that cannot be asked obeys again if it has booted
        stays = halted is not None or (self._errors.refuses is None and not self._booted)
        if revive and stays and self._errors.revived_by is not None and not self._pump.ended:
            halted = await self._revived(self._errors.revived_by)
        if halted is not None:
            raise FirmwareHalted(f"the firmware has halted: {halted}{self._errors.remedy}")
        await self._agree_on_packing()

    def reattach(self, snapshot: LinkSnapshot, identity: FirmwareIdentity) -> None:
        """Make the link that goes on where another one has left."""
        link = self.make_link(recognise(identity.name))
        if self._logbook is not None and self._logbook.packs:
            link.may_be_packing()
        link.reattach(snapshot, asyncio.get_running_loop().time())
        if self._logbook is not None:
            self._logbook.reattach(snapshot)

    async def reattach_by_asking(self, estimate: LinkEstimate, identity: FirmwareIdentity) -> None:
        """Ask the printer which line it wants, and go on there; what the lines before were is not known.

        Raises:
            RemoteProtocolError: it does not say, or is another one.
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
        """Find out whether it is this one that is there; the link has taken the conversation over.

        Raises:
            PrinterReset: it is another one.
        """
        await self._introduce()  # answered behind everything that was in flight
        if self._errors.refuses is not None:
            await self._commands.send(self._errors.refuses.decode())  # the link ends where it has halted
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
                f"{'what came is no G-code firmware' if heard else 'nothing came'}; "
                "is it switched on, and is the baudrate right?"
            ) from None
        self._banner = greeting.banner
        self._booted = greeting.booted
        self._pump.greeting = None
        if self._logbook is not None:
            self._logbook.begin()
        self.make_link(UNKNOWN)

    def _tell_busy(self) -> None:
        text = "the printer is busy: it heats or waits for its user, and answers when that is done"
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
            self._logbook.packs = True  # before it is so
        if await self._decoder_says(BEGIN, READY) == READY:
            link.pack()
        elif not self._pump.ended:
            link.may_be_packing()
            text = "the firmware does not confirm that it unpacks lines (MeatPack): they are sent unpacked"
            self._publish(FirmwareSaid(text, "warning"))

    async def _decoder_says(self, orders: bytes, wanted: DecoderSaid) -> DecoderSaid | None:
        """Give orders to the decoder; return its state when it is the wanted one, or what was told last."""
        self._decoder = None
        self._pump.write(orders)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRMING):
                while self._decoder != wanted:
                    self._decoder_told.clear()
                    await self._decoder_told.wait()
        return self._decoder

    def decoder_said(self, said: DecoderSaid) -> None:
        """Take what the firmware says of its decoder."""
        self._decoder = said
        self._decoder_told.set()

    # -- a firmware that has halted and goes on talking ----------------------------------------------------

    async def _why_halted(self) -> str | None:
        """Ask, without the link, which would end at the answer; None: it obeys."""
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
        """Say what makes it obey again, and greet it anew; return why it still does not obey."""
        loop = asyncio.get_running_loop()
        end = loop.time() + REVIVING
        self._pump.link = None  # it may ask for lines of the conversation before, which is over
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
        """Whatever it remembers of targets: who has halted is to begin with its heaters off."""
        for command in self._settings.heaters_off({}).decode().splitlines():
            await self._commands.send(command)

    def note(self, reply: FirmwareInfo | Capability) -> None:
        """Take what the printer says about itself."""
        if isinstance(reply, FirmwareInfo):
            self.identity = replace(self.identity, fields=reply.fields)
        else:
            self.identity.capabilities[reply.name] = reply.enabled


class _Answer:
    """What a firmware says to the question whether it has halted: `reason` is why, or None: it has not."""

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
