"""FrontProcess: runs the front as a child of the core, and restarts it whenever it ends."""

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
from daemon.in_time import CLOSE_TIMEOUT

PAUSE, MAX_PAUSE = 0.1, 5.0  # s before a restart: the first, and at most; each is twice as long as the one before
SHORT_PAUSE = 0.2  # s at most after a front that had worked, so that clients soon get answers again
STABLE_AFTER = 30.0  # s that a front has to run for the pause to start over at PAUSE
CHECK_INTERVAL = 1.0  # s; a front gives a sign of life every second
MAX_SILENT = 6  # checks in a row without a sign of life: the front hangs
MAX_STARTING = 90  # the same before its first sign of life: a busy small computer needs that long
BRIDGE = "--bridge"
LEASH = "--leash"
LISTENING = "--listening"
"""Options of `nozzled front`: descriptors that it inherits. The leash is a pipe that closes when this process ends."""

log = structlog.get_logger()


class FrontProcess:
    """Keeps one front running.

    Attributes:
        failed: the exit status of a front that could not start, such as for its configuration; the whole service ends
            with it. 0: every front has started.
        works: some front has given a sign of life.
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
            end: the core's end of the bridge to it.
            command: its command line.
            environ: of this process.
            listening: sockets for HTTP that systemd has handed in.
            busy: tells whether a print is in progress, or the core is stopping; then no failure of a front ends the
                core.
            give_up: ends the core.
        """
        self.failed = 0
        self.works = asyncio.Event()
        self._lives = False  # the present front has given a sign of life
        self._reload_due = False
        self._silent = 0  # checks in a row without a sign of life
        self._end = end
        self._command = command
        self._environ = {name: value for name, value in environ.items() if name not in _SYSTEMD_VARIABLES}
        self._listening = listening
        self._busy = busy
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._leash: int | None = None

    def begin(self) -> None:
        """Start the front, and again whenever it ends."""
        self._restarting = self._loop.create_task(self._keep_running())

    def on_sign_of_life(self) -> None:
        """Note a sign of life from the front."""
        self.works.set()
        self._lives = True
        self._silent = 0
        if self._reload_due:
            self.reload()

    def reload(self) -> None:
        """Have the front read its configuration again, once it lives: before, SIGHUP would end it."""
        self._reload_due = not self._lives
        if self._process is not None and self._lives:
            _send(self._process, signal.SIGHUP)

    async def stop(self) -> None:
        """End the front: by SIGTERM, and by SIGKILL if that takes too long."""
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.wait([self._restarting])
        if (process := self._process) is None or process.returncode is not None:
            self._close_leash()
            return
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await process.wait()
        except TimeoutError:
            log.warning("front.hangs", consequence="it was killed")
            _send(process, signal.SIGKILL)
        finally:
            self._close_leash()

    async def _keep_running(self) -> None:
        pause = PAUSE
        while True:
            began = self._loop.time()
            status = await self._run()
            if status > 0 and not self.works.is_set() and not self._busy():
                self.failed = status
                self._give_up()
                return
            if self._loop.time() - began > STABLE_AFTER:
                pause = PAUSE
            elif self._lives:
                pause = min(pause, SHORT_PAUSE)
            log.warning("front.ended", status=status, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

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
        return await self._watch(process)

    async def _begin(self, theirs: ExitStack) -> None:
        """Start a front; `theirs` closes this process's copies of the front's descriptors. Raises OSError."""
        ours, bridge = pair()
        theirs.callback(bridge.close)
        try:
            self._close_leash()
            leash, self._leash = os.pipe()
            theirs.callback(os.close, leash)
            inherited = [(BRIDGE, bridge.fileno()), (LEASH, leash)]
            inherited += [(LISTENING, each.fileno()) for each in self._listening]
            options = [word for option, fd in inherited for word in (option, str(fd))]
            await self._end.serve(ours)
            self._process = await asyncio.create_subprocess_exec(
                *self._command, *options, pass_fds=[fd for _, fd in inherited], env=self._environ, stdin=DEVNULL
            )
        except OSError:
            ours.close()
            raise

    def _close_leash(self) -> None:
        """Close the leash: the kernel kills a front that still runs, even if it hangs."""
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None

    async def _watch(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the front to end, and return its exit status; kill it if it gives no sign of life."""
        self._lives, self._silent = False, 0
        while True:
            try:
                async with asyncio.timeout(CHECK_INTERVAL):
                    return await process.wait()
            except TimeoutError:
                self._silent += 1
            if self._silent >= (MAX_SILENT if self._lives else MAX_STARTING):
                log.warning("front.hangs", pid=process.pid, consequence="it is killed and restarted")
                _send(process, signal.SIGKILL)


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a front that has not ended.

    The methods of `process` first poll whether it has just ended, which takes its exit status from asyncio
    (subprocess.Popen.send_signal). asyncio then reports 255: a front that cannot start, which would end the core.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


_SYSTEMD_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
