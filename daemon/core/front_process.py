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

from daemon.bridge.core_end import CoreEnd, socket_pair
from daemon.in_time import CLOSE_TIMEOUT

FIRST_DELAY, MAX_DELAY = 0.1, 5.0  # before a restart; each delay is twice as long as the one before, up to the maximum
MAX_AFTER_WORK_DELAY = 0.2  # s after a front that had worked, so that clients soon get answers again
STABLE_AFTER_S = 30.0  # s; after a front that ran for this long, the next delay is FIRST_DELAY again
CHECK_INTERVAL = 1.0  # a front gives a sign of life every second
MAX_SILENT = 6  # checks in a row without a sign of life; then the front hangs
MAX_STARTING = 90  # the same before its first sign of life: a small computer that is busy needs that long
BRIDGE = "--bridge"
LEASH = "--leash"
LISTENING = "--listening"
"""Options of `nozzled front`: descriptors that it inherits. The leash is a pipe that closes when this process ends."""

log = structlog.get_logger()


class FrontProcess:
    """Keeps one front running.

    Attributes:
        failed_status: the exit status of a front that could not start, for example because of its configuration; the
            whole service ends with this status. 0: the service does not end because of a front.
        has_worked: set once some front has given a sign of life.
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
            end: the core's end of the bridge.
            command: the command line of the front.
            environ: the environment of this process.
            listening: sockets for HTTP that systemd has handed in.
            busy: tells whether a print is in progress, or the core is stopping; then no failure of a front ends the
                core.
            give_up: ends the core.
        """
        self.failed_status = 0
        self.has_worked = asyncio.Event()
        self._is_alive = False  # the present front has given a sign of life
        self._reload_due = False
        self._silent_checks = 0  # checks in a row without a sign of life
        self._end = end
        self._command = command
        self._environ = {name: value for name, value in environ.items() if name not in _SYSTEMD_VARIABLES}
        self._listening = listening
        self._busy = busy
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._restart_task: asyncio.Task[None] | None = None
        self._leash: int | None = None

    def begin(self) -> None:
        """Start the front, and start it again whenever it ends."""
        self._restart_task = self._loop.create_task(self._keep_running())

    def on_sign_of_life(self) -> None:
        """Note a sign of life from the front."""
        self.has_worked.set()
        self._is_alive = True
        self._silent_checks = 0
        if self._reload_due:
            self.reload()

    def reload(self) -> None:
        """Have the front read its configuration again, once it lives; SIGHUP would end it before."""
        self._reload_due = not self._is_alive
        if self._process is not None and self._is_alive:
            _send(self._process, signal.SIGHUP)

    async def stop(self) -> None:
        """End the front: by SIGTERM, and by SIGKILL if that takes too long."""
        if self._restart_task is not None:
            self._restart_task.cancel()
            await asyncio.wait([self._restart_task])
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
        delay = FIRST_DELAY
        while True:
            began = self._loop.time()
            status = await self._run()
            if status > 0 and not self.has_worked.is_set() and not self._busy():
                self.failed_status = status
                self._give_up()
                return
            if self._loop.time() - began > STABLE_AFTER_S:
                delay = FIRST_DELAY
            elif self._is_alive:
                delay = min(delay, MAX_AFTER_WORK_DELAY)
            log.warning("front.ended", status=status, again_in=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_DELAY)

    async def _run(self) -> int:
        """Run a front to its end; return the exit status, negative for a signal."""
        self._is_alive = False
        with ExitStack() as copies:
            try:
                await self._begin(copies)
            except OSError as error:
                log.error("front.not_started", reason=str(error))  # noqa: TRY400 - a full table of processes is no bug
                return -1
        process = cast("asyncio.subprocess.Process", self._process)
        log.info("front.started", pid=process.pid)
        return await self._watch(process)

    async def _begin(self, copies: ExitStack) -> None:
        """Start a front; `copies` closes this process's copies of the front's descriptors. Raises OSError."""
        ours, bridge = socket_pair()
        copies.callback(bridge.close)
        try:
            self._close_leash()
            leash, self._leash = os.pipe()
            copies.callback(os.close, leash)
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
        self._is_alive, self._silent_checks = False, 0
        while True:
            try:
                async with asyncio.timeout(CHECK_INTERVAL):
                    return await process.wait()
            except TimeoutError:
                self._silent_checks += 1
            if self._silent_checks >= (MAX_SILENT if self._is_alive else MAX_STARTING):
                log.warning("front.hangs", pid=process.pid, consequence="it is killed and restarted")
                _send(process, signal.SIGKILL)


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a front that has not ended.

    The methods of `process` would first poll whether it has just ended, and so take its exit status away from asyncio
    (subprocess.Popen.send_signal). asyncio then reports status 255, which looks like a front that cannot start; that
    would end the core.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


_SYSTEMD_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
