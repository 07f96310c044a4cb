"""Carries the push of a stop button to the printer, past all queues, and repeats it until it is confirmed.

The core's own socket comes first: it is on this computer, and the core answers it within a turn of its loop, whatever
the front is doing. If the core has not accepted the stop at once, it goes through the API, which is also the only way
to another computer. A stop that the core has accepted is not sent through the API as well: a front that hangs could act
on it much later, and stop another print.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from daemon.client import ClientError, OctoPrintClient
from daemon.companions.power.stopping import Stopping

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
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            client: of the front.
            socket: the core's; None: the core is on another computer.
            cut_after: s after which the power is cut if the stop is not confirmed; None: never.
            cut: cuts the power.
            changed: is called when the state has changed.
        """
        self._client = client
        self._socket = socket
        self._cut_after = cut_after
        self.cut = cut
        self.changed = changed
        self.now: Stopping | None = None
        self._accepted = asyncio.Event()  # set when the core has accepted the stop
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def direct(self) -> bool:
        """The core can be reached without the front."""
        try:
            return self._socket is not None and self._socket.is_socket()
        except OSError:  # in a folder of another user
            return False

    def stop(self) -> None:
        """Stop the printer, in the background; a stop that is under way is not repeated."""
        if self.now is not None and not self.now.confirmed and self._tasks:
            return
        log.warning("power.stop_button")
        self.now = Stopping(asyncio.get_running_loop().time(), self._cut_after)
        for work in (self._until_confirmed(self.now), self._cut_if_unconfirmed(self.now)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.changed()

    def on_stop_ended(self, *, confirmed: bool) -> None:
        """Note the front's event that a stop has ended.

        It may be about another stop, so the core's own answer about this one takes precedence.
        """
        if self.now is not None and confirmed and not self.now.by_core:
            self._confirm(self.now)

    def _confirm(self, stopping: Stopping) -> None:
        stopping.confirmed = True
        self.changed()

    def end(self) -> None:
        """Give up, as the process ends."""
        for task in self._tasks:
            task.cancel()

    async def _until_confirmed(self, stopping: Stopping) -> None:
        now = asyncio.get_running_loop().time
        while stopping.goes_on(now()):
            self._accepted.clear()
            await asyncio.gather(self._by_socket(stopping), self._by_front())
            if not stopping.confirmed:
                await asyncio.sleep(stopping.pause())

    async def _cut_if_unconfirmed(self, stopping: Stopping) -> None:
        if stopping.cut_after is None:
            return
        await asyncio.sleep(stopping.cut_after)
        if stopping.must_cut(asyncio.get_running_loop().time()):
            stopping.cut = True
            self.cut("the stop button was pushed, and the printer did not confirm the stop")

    async def _by_socket(self, stopping: Stopping) -> None:
        if self._socket is None:
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._ask(self._socket, stopping)
        except (OSError, TimeoutError) as error:
            log.warning("power.stop_not_taken", by="core", reason=str(error) or "it did not answer")

    async def _ask(self, path: Path, stopping: Stopping) -> None:
        reader, writer = await asyncio.open_unix_connection(path, limit=400)
        try:
            writer.write(b"stop\n")
            while word := await reader.readline():
                log.info("power.stop", core=word.decode("utf-8", "replace").strip())
                if word == b"taken\n":
                    stopping.by_core = True
                    self._accepted.set()
                if word == b"confirmed\n":
                    self._confirm(stopping)
        except ValueError:  # a line that is too long
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _by_front(self) -> None:
        if self.direct:
            with suppress(TimeoutError):
                async with asyncio.timeout(ACCEPT_TIMEOUT):
                    await self._accepted.wait()
            if self._accepted.is_set():
                return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._client.printer.send("M112")
        except (ClientError, TimeoutError) as error:
            log.warning("power.stop_not_taken", by="front", reason=str(error) or "it did not answer")
