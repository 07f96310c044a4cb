"""Commands: sends commands between the lines of a job, and returns their answers."""

import asyncio
from collections.abc import Callable, Sequence

from gcode.command import m_code
from gcode.dialect import UNKNOWN, Dialect
from gcode.errors import CommandError, NozzledError, QueueFull
from gcode.fitting import fit_command
from gcode.outgoing import Ticket, check_command
from hal.pump import Pump, fail_waiters

_SELECTS = m_code(23, 32)  # select a file on the printer's SD card
_ENDS_A_WAIT = m_code(108, 410, 876)  # urgent: in the queue they would come after the wait that they end
_PRINTS = m_code(24, 32)  # print from the SD card
_ASKS_POSITION = m_code(114)

MAX_URGENT = 16
"""At most this many urgent commands of clients may be unanswered; those that end a wait are urgent."""


class AwaitedCommand(Ticket):
    """A command whose sender waits for the answer."""

    __slots__ = ("future",)

    def __init__(
        self, command: bytes, future: asyncio.Future[Sequence[str]], *, urgent: bool = False, step: int = 0
    ) -> None:
        super().__init__(command, urgent=urgent, step=step)
        self.future = future


class Commands:
    """The commands to one printer, which can be sent once there is a link."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self._error: NozzledError | None = None
        self._waiting: set[AwaitedCommand] = set()
        self._selecting: Ticket | None = None  # the host's own command that selects a file on the SD card
        self._urgent: list[Ticket] = []  # urgent commands of clients; some may be answered
        self.on_panel_print: Callable[[], None] = lambda: None  # called when a client starts a print from the SD card
        self.positions_due = 0  # unanswered queries of the position (M114)

    @property
    def _dialect(self) -> Dialect:
        return self._pump.link.dialect if self._pump.link else UNKNOWN

    @property
    def longest_command(self) -> int:
        """The most bytes of a command that this firmware reads."""
        return self._dialect.longest_command

    def fit(self, command: bytes) -> bytes | None:
        """Return a clean command as this firmware can read it; None: a text that is better not sent."""
        return fit_command(command, self._dialect)

    @property
    def is_selecting(self) -> bool:
        """A command that selects a file on the SD card is unanswered, so the host, not the panel, selects the file."""
        return self._selecting is not None

    def check(self, command: str) -> bytes:
        """Return a command as it would go on the wire; raises an error if it cannot be sent."""
        checked = self.fit(whole := check_command(command))
        if checked is None:
            return whole  # a text that is allowed, though it will not be sent
        if len(checked) > self.longest_command:
            raise CommandError(
                f"the command has {len(checked)} characters, but the firmware reads {self.longest_command}: "
                f"{checked[:40].decode()}…"
            )
        return checked

    def _is_left_out(self, checked: bytes) -> bool:
        """Tell whether a checked command is a text that is better not sent to this firmware."""
        return self.fit(checked) is None

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command; return the printer's answer, `ok` last, or nothing for a text that is not sent."""
        checked = self.check(command)
        if self._is_left_out(checked):
            return []
        if self._error is not None:
            raise self._error
        ticket = AwaitedCommand(checked, self._loop.create_future(), urgent=urgent, step=step)
        self._waiting.add(ticket)
        try:
            self.send_ticket(ticket)
            return await ticket.future
        finally:
            self._waiting.discard(ticket)

    def send_ticket(self, ticket: Ticket) -> None:
        """Send a command without waiting; its answer is published in events."""
        if self._pump.link is not None:
            self._pump.link.send(ticket)
            self._note(ticket)
            self._pump.turn()

    def submit(self, commands: Sequence[str | bytes]) -> None:
        """Queue a client's commands, all or none; those that are bytes have passed `check`.

        Commands that end a wait are urgent. Texts that are better not sent are left out.
        """
        checked = [command if isinstance(command, bytes) else self.check(command) for command in commands]
        tickets = [
            Ticket(command, from_client=True, urgent=_ENDS_A_WAIT.match(command) is not None)
            for command in checked
            if not self._is_left_out(command)
        ]
        urgent = [ticket for ticket in tickets if ticket.urgent]
        link = self._pump.link
        if link is None:
            return
        self._urgent = [ticket for ticket in self._urgent if not ticket.done]
        if len(self._urgent) + len(urgent) > MAX_URGENT:
            raise QueueFull(f"{len(self._urgent)} commands that end a wait have no answer yet; try again later")
        link.submit([ticket for ticket in tickets if not ticket.urgent])
        for ticket in urgent:
            link.send(ticket)
        self._urgent += urgent
        for ticket in tickets:
            self._note(ticket)
        self._pump.turn()

    def _note(self, ticket: Ticket) -> None:
        if _SELECTS.match(ticket.command):
            self._selecting = ticket
        elif _ASKS_POSITION.match(ticket.command):
            self.positions_due += 1
        if ticket.from_client and _PRINTS.match(ticket.command):
            self.on_panel_print()

    def on_answer(self, ticket: Ticket) -> None:
        """Pass the answer of a command to its sender."""
        if ticket is self._selecting:
            self._selecting = None  # from now on, files are selected at the panel
        if isinstance(ticket, AwaitedCommand) and not ticket.future.done():
            ticket.future.set_result(ticket.replies)

    def end(self, error: NozzledError) -> None:
        """Raise the error in all senders that wait for an answer."""
        self._error = self._error or error
        fail_waiters([command.future for command in self._waiting], error)
