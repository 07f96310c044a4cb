"""ClientCommands: checks and queues the commands that clients send between the lines of a job."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from gcode.dialect import is_revival
from gcode.errors import CommandError
from gcode.outgoing import check_command, is_stop
from gcode.too_hot import excess
from hal.errors import NotConnected

if TYPE_CHECKING:
    from daemon.core.connection.connection import Connection

LONG_COMMAND = 1024  # bytes; a longer command is checked in a thread
CHECK_TURN_S = 0.0005  # s for which commands are checked before the loop gets a turn

log = structlog.get_logger()


class ClientCommands:
    """The clients' commands of one connection.

    Attributes:
        queued_at: when the last one was queued, in s of the loop's clock.
    """

    def __init__(self, connection: "Connection") -> None:
        self.queued_at = 0.0
        self._connection = connection
        self._send_lock = asyncio.Lock()

    def submit(self, commands: Sequence[str]) -> None:
        """Check all commands, then queue them without waiting for the printer. An M112 among them stops it at once.

        A command that revives a halted firmware (M999, FIRMWARE_RESTART) connects again and revives the firmware.

        Raises:
            NotConnected: no printer is connected, or it is not ready; for M112 it need not be ready.
            CommandError, ForbiddenCommand: a command must not be sent, or asks for too much heat; none is sent.
            QueueFull: too many commands are waiting; none is sent.
        """
        if not self._carry_out_at_once(commands):
            self._queue([self._check(command) for command in commands])

    async def send(self, commands: Sequence[str]) -> None:
        """Do what `submit` does, after the commands of earlier calls; the loop gets turns during the check.

        The check of a command that heats by an expression takes a quarter of a millisecond.
        """
        loop, connection = asyncio.get_running_loop(), self._connection
        async with self._send_lock:
            if self._carry_out_at_once(commands):
                return
            basis = None
            while basis != (connection.printer, connection.profile):  # both may change during the check
                basis, checked, turn = (connection.printer, connection.profile), [], loop.time()
                for command in commands:
                    if loop.time() - turn >= CHECK_TURN_S:
                        await asyncio.sleep(0)
                        turn = loop.time()
                    if len(command) > LONG_COMMAND:
                        await self._check_long(command)
                        turn = loop.time()
                    checked.append(self._check(command, heat_checked=len(command) > LONG_COMMAND))
            self._queue(checked)

    def refuse_too_hot(self, command: bytes) -> None:
        """Raise CommandError if a command asks for more heat than the profile allows."""
        profile = self._connection.profile
        if problem := excess(command, profile.max_hotend_c, profile.max_bed_c, profile.max_chamber_c):
            raise CommandError(problem)

    async def _check_long(self, command: str) -> None:
        """Check a very long command (Klipper's: up to 16 KiB) for heat, in a thread that works a tenth of the time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(self.refuse_too_hot, check_command(command))
        await asyncio.sleep(9 * (loop.time() - began))

    def _carry_out_at_once(self, commands: Sequence[str]) -> bool:
        """Carry out an emergency stop or a revival, which skip the queue; tell whether there was one."""
        if any(is_stop(command) for command in commands):
            for command in commands:
                check_command(command)
            log.warning("printer.emergency_stop", reason="a client sent M112")
            self._connection.emergency_stop()
            return True
        if self._connection.halted and any(map(is_revival, commands)):
            self._revive(commands)
            return True
        return False

    def _revive(self, commands: Sequence[str]) -> None:
        """Revive a halted firmware at a client's request."""
        revival = next(filter(is_revival, commands))[:40]
        if len(commands) > 1:
            raise CommandError(f"the printer has halted: send {revival} alone, and the rest when it is ready")
        log.warning("printer.reviving", reason=f"a client sent {revival}")
        self._connection.revive()

    def _check(self, command: str, *, heat_checked: bool = False) -> bytes:
        """Return a command as it goes on the wire; raises what `submit` does."""
        printer = self._connection.printer
        if printer is None or not self._connection.ready:
            raise NotConnected("the printer is not connected")
        checked = printer.check(command)
        if not heat_checked:
            self.refuse_too_hot(checked)
        return checked

    def _queue(self, checked: Sequence[bytes]) -> None:
        printer = self._connection.printer
        if printer is None or not self._connection.ready:
            raise NotConnected("the printer is not connected")
        self.queued_at = asyncio.get_running_loop().time()
        printer.submit(*checked)
