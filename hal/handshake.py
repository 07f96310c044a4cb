"""Handshake: finding out who is at the other end, for the first time or again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gcode.dialect import UNKNOWN, Dialect, recognise
from gcode.errors import FirmwareHalted, PrinterReset
from gcode.link import HostLink
from gcode.replies import Capability, FirmwareError, FirmwareInfo, parse
from hal.commands import Commands
from hal.errors import HandshakeFailed
from hal.link_settings import LinkSettings
from hal.logbook import Logbook
from hal.printer import Event, FirmwareSaid, Identity
from hal.pump import Pump

STRAGGLERS = 0.2  # seconds for the answer to M115, where its ok was that of a late hello: it is counted as stray then


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
        self.identity = Identity()
        self._publish = publish
        self._pump = pump
        self._commands = commands
        self._settings = settings
        self._logbook = logbook
        self._banner: list[str] = []

    def make_link(self, dialect: Dialect) -> HostLink:
        """Begin a conversation."""
        baudrate = self._pump.transport.baudrate
        journal = self._logbook.note if self._logbook is not None else None
        self._pump.link = HostLink(self._settings.adapted(dialect), 10 / baudrate if baudrate else 0.0, journal)
        return self._pump.link

    async def first_contact(self) -> None:
        """Find out who is there.

        Raises:
            HandshakeFailed: nobody answers.
        """
        await self._greet()
        await self._introduce()

    async def contact_again(self, identity: Identity) -> None:
        """Find out whether it is this one that is there; the link has taken the conversation over.

        Raises:
            PrinterReset: it is another one.
        """
        await self._introduce()  # answered behind everything that was under way
        if self.identity.uuid != identity.uuid or self.identity.name != identity.name:
            found, wanted = (f"{each.name} {each.uuid or ''}".strip() for each in (self.identity, identity))
            raise PrinterReset(f"another printer is on the line: {found}, not {wanted}")

    async def _greet(self) -> None:
        timeout = self._settings.greeting_timeout
        try:
            greeting = await self._pump.greet(timeout, self._tell_busy)
        except TimeoutError:
            heard = self._pump.greeting is not None and self._pump.greeting.heard
            raise HandshakeFailed(
                f"no printer answers on {self._pump.transport.address} within {timeout:g} s: "
                f"{'what came is no G-code firmware' if heard else 'nothing came'}; "
                "is it switched on, and is the baudrate right?"
            ) from None
        self._banner = greeting.banner
        self._pump.greeting = None
        if self._logbook is not None:
            self._logbook.begin()
        self.make_link(UNKNOWN)

    def _tell_busy(self) -> None:
        text = "the printer is busy for somebody else: it heats, or waits for its user, and answers when that is over"
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
        if dialect.errors.refuses is not None:
            await self._ask_whether_halted(dialect.errors.refuses.decode())

    async def _ask_whether_halted(self, question: str) -> None:
        """Some firmwares that have halted go on talking, and tell who they are."""
        for line in await self._commands.send(question):
            reply = parse(line.encode())
            if isinstance(reply, FirmwareError):
                raise FirmwareHalted(f"the firmware has halted: {reply.text or reply.line}")

    def note(self, reply: FirmwareInfo | Capability) -> None:
        """Take what the printer says about itself."""
        if isinstance(reply, FirmwareInfo):
            self.identity = replace(self.identity, fields=reply.fields)
        else:
            self.identity.capabilities[reply.name] = reply.enabled
