"""Carries the push of a stop button to the printer, past all queues, and repeats it until it is confirmed.

The core's own socket comes first: it is on this computer, and the core answers it within a turn of its loop, whatever
the front is doing. If the core has not accepted the stop at once, the stop goes through the API, which is also the only
way to another computer. A stop that the core has accepted is not sent through the API too: a front that hangs could act
on it much later, and stop another print.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from daemon.client import ClientError, OctoPrintClient
from daemon.companions.power.stopping import ButtonStop

ANSWER_TIMEOUT = 4.0  # the core knows after 3 s whether the board has confirmed
ACCEPT_TIMEOUT = 0.25  # for the core to accept the stop

log = structlog.get_logger()


class Emergency:
    """Stops the printer."""

    def __init__(
        self,
        client: OctoPrintClient,
        socket: Path | None = None,
        cut_after: float | None = None,
        cut: Callable[[str], None] = lambda _why: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            client: of the front.
            socket: the core's; None: the core is on another computer.
            cut_after: s after which the power is cut if the stop is not confirmed; None: never.
            cut: cuts the power.
            on_change: called when the state has changed.
        """
        self._client = client
        self._socket = socket
        self._cut_after = cut_after
        self.cut = cut
        self.on_change = on_change
        self.current_stop: ButtonStop | None = None
        self._accept_event = asyncio.Event()  # set when the core has accepted the stop
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_direct(self) -> bool:
        """Whether the core can be reached without the front."""
        try:
            return self._socket is not None and self._socket.is_socket()
        except OSError:  # in a folder of another user
            return False

    def stop(self) -> None:
        """Stop the printer, in the background; a stop that is under way is not repeated."""
        if self.current_stop is not None and not self.current_stop.is_confirmed and self._tasks:
            return
        log.warning("power.stop_button")
        self.current_stop = ButtonStop(asyncio.get_running_loop().time(), self._cut_after)
        for work in (self._repeat_until_confirmed(self.current_stop), self._cut_if_unconfirmed(self.current_stop)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.on_change()

    def on_stop_ended(self, *, confirmed: bool) -> None:
        """Note the front's event that a stop has ended.

        The event may be about another stop, so the core's own answer about this stop takes precedence.
        """
        if self.current_stop is not None and confirmed and not self.current_stop.is_accepted_by_core:
            self._confirm(self.current_stop)

    def _confirm(self, stopping: ButtonStop) -> None:
        stopping.is_confirmed = True
        self.on_change()

    def end(self) -> None:
        """Cancel all tasks: the process ends."""
        for task in self._tasks:
            task.cancel()

    async def _repeat_until_confirmed(self, stopping: ButtonStop) -> None:
        now = asyncio.get_running_loop().time
        while stopping.may_repeat(now()):
            self._accept_event.clear()
            await asyncio.gather(self._stop_by_socket(stopping), self._stop_by_front())
            if not stopping.is_confirmed:
                await asyncio.sleep(stopping.pause())

    async def _cut_if_unconfirmed(self, stopping: ButtonStop) -> None:
        if stopping.cut_after is None:
            return
        await asyncio.sleep(stopping.cut_after)
        if stopping.must_cut(asyncio.get_running_loop().time()):
            stopping.is_cut = True
            self.cut("the stop button was pushed, and the printer did not confirm the stop")

    async def _stop_by_socket(self, stopping: ButtonStop) -> None:
        if self._socket is None:
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._ask(self._socket, stopping)
        except (OSError, TimeoutError) as error:
            log.warning("power.stop_not_taken", by="core", reason=str(error) or "it did not answer")

    async def _ask(self, path: Path, stopping: ButtonStop) -> None:
        reader, writer = await asyncio.open_unix_connection(path, limit=400)
        try:
            writer.write(b"stop\n")
            while word := await reader.readline():
                log.info("power.stop", core=word.decode("utf-8", "replace").strip())
                if word == b"taken\n":
                    stopping.is_accepted_by_core = True
                    self._accept_event.set()
                if word == b"confirmed\n":
                    self._confirm(stopping)
        except ValueError:  # a line that is too long
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _stop_by_front(self) -> None:
        if self.is_direct:
            with suppress(TimeoutError):
                async with asyncio.timeout(ACCEPT_TIMEOUT):
                    await self._accept_event.wait()
            if self._accept_event.is_set():
                return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._client.printer.send("M112")
        except (ClientError, TimeoutError) as error:
            log.warning("power.stop_not_taken", by="front", reason=str(error) or "it did not answer")
