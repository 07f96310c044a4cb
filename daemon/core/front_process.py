"""FrontProcess: the front as a child of the core, begun again whenever it ends."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from daemon.bridge.core_end import CoreEnd, pair
from daemon.in_time import CLOSING

PAUSE, LONGEST_PAUSE = 0.1, 5.0  # s until it is begun again; twice as long each time
STEADY = 30.0  # s after which one that ends is no better or worse than the first
LOOK = 5.0  # s between two looks at one that works: it gives a sign of life every 3
SILENT = 3  # looks in a row without one: it hangs
BRIDGE = "--bridge"
LISTENING = "--listening"
"""Options of `nozzled front`: the descriptors that it is given."""

log = structlog.get_logger()


class FrontProcess:
    """Keeps one front running.

    Attributes:
        failed: the exit status of a front that could not even begin: its configuration cannot be used, and that is
            what the whole service ends with. 0: there was none.
        works: one of them has said that it does.
    """

    def __init__(
        self,
        end: CoreEnd,
        command: Sequence[str],
        environ: Mapping[str, str],
        listening: Sequence[socket.socket],
        busy: Callable[[], bool],
        give_up: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            end: talks to it.
            command: its command line.
            environ: of this process.
            listening: sockets for HTTP that systemd has handed in.
            busy: tells whether something is printed, or is being ended; nothing that becomes of a front ends the core
                then.
            give_up: ends the core.
        """
        self.failed = 0
        self.works = asyncio.Event()
        self._lives = False  # the one that there is now
        self._reload_due = False
        self._silent = 0  # looks without a sign of life
        self._end = end
        self._command = command
        self._environ = {name: value for name, value in environ.items() if name not in _OF_SYSTEMD}
        self._listening = listening
        self._busy = busy
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin it, and again whenever it ends."""
        self._keeping = self._loop.create_task(self._keep())

    def heard(self) -> None:
        """Take a sign of life from the front."""
        self.works.set()
        self._lives = True
        self._silent = 0
        if self._reload_due:
            self.reload()

    def reload(self) -> None:
        """Have it read its configuration again, as soon as it listens to that: SIGHUP ends one that does not yet."""
        self._reload_due = not self._lives
        if self._process is not None and self._lives:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it, in order if it can."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if (process := self._process) is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(CLOSING):
                await process.wait()
        except TimeoutError:
            log.warning("front.hangs", consequence="it was killed")
            process.kill()

    async def _keep(self) -> None:
        pause = PAUSE
        while True:
            began = self._loop.time()
            status = await self._run()
            if status > 0 and not self.works.is_set() and not self._busy():
                self.failed = status
                self._give_up()
                return
            if self._loop.time() - began > STEADY:
                pause = PAUSE
            log.warning("front.ended", status=status, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(self) -> int:
        """Run a front to its end; return the exit status, negative for a signal."""
        ours, theirs = pair()
        given = (theirs.fileno(), *(each.fileno() for each in self._listening))
        options = [BRIDGE, str(given[0]), *(word for fd in given[1:] for word in (LISTENING, str(fd)))]
        try:
            await self._end.serve(ours)
            self._process = await asyncio.create_subprocess_exec(
                *self._command, *options, pass_fds=given, env=self._environ, stdin=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            ours.close()
            log.error("front.not_started", reason=str(error))  # noqa: TRY400 - a full table of processes is no bug
            return -1
        finally:
            theirs.close()
        log.info("front.started", pid=self._process.pid)
        return await self._ended(self._process)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the end of a front; one that has worked and gives no sign of life any more is killed."""
        self._lives, self._silent = False, 0
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    return await process.wait()
            except TimeoutError:
                self._silent += 1
            if self._lives and self._silent >= SILENT:
                log.warning("front.hangs", pid=process.pid, consequence="it is killed, and begun again")
                process.kill()


_OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
