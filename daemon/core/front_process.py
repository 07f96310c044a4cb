"""FrontProcess: the front as a child of the core, begun again whenever it ends."""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import cast

import structlog

from daemon.bridge.core_end import CoreEnd, pair
from daemon.in_time import CLOSING

PAUSE, LONGEST_PAUSE = 0.1, 5.0  # s until it is begun again; twice as long each time
SHORT_PAUSE = 0.2  # s at most for one that has worked: whatever ends it, clients have their answers again soon
STEADY = 30.0  # s after which one that ends is no better or worse than the first
LOOK = 1.0  # s between two looks at one that works: it gives a sign of life every second
SILENT = 6  # looks in a row without one: it hangs
BEGINS = 90  # looks at one that has not given any yet; a small computer with much to do needs its time
BRIDGE = "--bridge"
LEASH = "--leash"
LISTENING = "--listening"
"""Options of `nozzled front`: the descriptors that it is given. The leash is a pipe that ends with this process."""

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
        self._leash: int | None = None

    def begin(self) -> None:
        """Begin it, and again whenever it ends."""
        self._keeping = self._loop.create_task(self._keep())

    def on_sign_of_life(self) -> None:
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
            self._let_go()
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(CLOSING):
                await process.wait()
        except TimeoutError:
            log.warning("front.hangs", consequence="it was killed")
            process.kill()
        finally:
            self._let_go()

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
            elif self._lives:
                pause = min(pause, SHORT_PAUSE)
            log.warning("front.ended", status=status, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(self) -> int:
        """Run a front to its end; return the exit status, negative for a signal."""
        self._lives = False
        with ExitStack() as theirs:
            try:
                await self._begin(theirs)
            except OSError as error:
                log.error("front.not_started", reason=str(error))  # noqa: TRY400 - a full table of processes is no bug
                return -1
        process = cast("asyncio.subprocess.Process", self._process)
        log.info("front.started", pid=process.pid)
        return await self._ended(process)

    async def _begin(self, theirs: ExitStack) -> None:
        """Start a front; `theirs` closes what it alone is to have. Raises OSError."""
        ours, bridge = pair()
        theirs.callback(bridge.close)
        try:
            self._let_go()
            leash, self._leash = os.pipe()
            theirs.callback(os.close, leash)
            given = [(BRIDGE, bridge.fileno()), (LEASH, leash)]
            given += [(LISTENING, each.fileno()) for each in self._listening]
            options = [word for option, fd in given for word in (option, str(fd))]
            await self._end.serve(ours)
            self._process = await asyncio.create_subprocess_exec(
                *self._command, *options, pass_fds=[fd for _, fd in given], env=self._environ, stdin=DEVNULL
            )
        except OSError:
            ours.close()
            raise

    def _let_go(self) -> None:
        """End the leash: a front that is still there is killed by the kernel, also one that hangs."""
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the end of a front; one that gives no sign of life, or none any more, is killed."""
        self._lives, self._silent = False, 0
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    return await process.wait()
            except TimeoutError:
                self._silent += 1
            if self._silent >= (SILENT if self._lives else BEGINS):
                log.warning("front.hangs", pid=process.pid, consequence="it is killed, and begun again")
                process.kill()


_OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
