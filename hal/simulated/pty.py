"""The simulated printer behind a pseudo-terminal, for the serial backend and any other host."""

import asyncio
import contextlib
import errno
import math
import os
import select
import tty
from collections.abc import Callable
from pathlib import Path

from hal.errors import PortError
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.transport import Transport

_CHECK_INTERVAL = 0.02  # s between two checks whether a host has opened the port
_CHUNK = 4096


class PtyPrinter:
    """A firmware on a pty, with a symbolic link to it.

    Opening the port pulses DTR, which resets most boards, unless `reset_on_open` is false. When the terminal's buffer
    is full, further bytes to a host that does not read are lost, as with a UART. Hosts may open the port one after the
    other.
    While the scenario has pulled the cable, there is no link and no pty.
    """

    def __init__(
        self,
        firmware: Firmware,
        link: Path,
        *,
        speed: float = 1.0,
        reset_on_open: bool = True,
        wrap: Callable[[Transport], Transport] | None = None,
    ) -> None:
        """Prepare; `wrap` puts something between firmware and pty, such as a recorder."""
        self._firmware = firmware
        self._clock = DeviceClock(firmware, speed)
        self._wrap = wrap
        self._link = link
        self._reset_on_open = reset_on_open
        self._transport: Transport | None = None
        self._master = -1
        self._is_open = False
        self._timer: asyncio.TimerHandle | None = None
        self._replug_task: asyncio.Task[str] | None = None

    async def start(self) -> str:
        """Create the pty and the link, power the board up, and return the terminal's path.

        Raises:
            OSError: the link cannot be made, for example because its path is in use.
        """
        return await self._plug_in(power_up=True)

    async def _plug_in(self, *, power_up: bool) -> str:
        master, slave = os.openpty()
        path = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)  # from now on POLLHUP on the master means that no host has the port open
        try:
            _replace_link(self._link, path)
        except OSError:
            os.close(master)
            raise
        os.set_blocking(master, False)
        self._master = master
        transport = SimulatedTransport(
            self._firmware, f"serial:{self._link}", reset_on_open=power_up, clock=self._clock
        )
        self._transport = self._wrap(transport) if self._wrap else transport
        await self._transport.open(self._to_host, self._on_unplugged)
        self._wait_for_host()
        return path

    def stop(self) -> None:
        """Remove the link and the pty."""
        if self._timer is not None:
            self._timer.cancel()
        self._pull()

    def _pull(self) -> None:
        if self._transport is None:
            return
        self._transport.close()
        self._transport = None
        if self._is_open:
            asyncio.get_running_loop().remove_reader(self._master)
            self._is_open = False
        with contextlib.suppress(FileNotFoundError):
            self._link.unlink()
        os.close(self._master)

    def _on_unplugged(self, _error: PortError) -> None:
        """Take the port away until the cable is plugged in again."""
        if self._timer is not None:
            self._timer.cancel()
        self._pull()
        if self._firmware.plugged_at < math.inf:
            when = self._clock.when(self._firmware.plugged_at)
            self._timer = asyncio.get_running_loop().call_at(when, self._replug)

    def _replug(self) -> None:
        self._timer = None
        self._replug_task = asyncio.get_running_loop().create_task(self._plug_in(power_up=False))

    def _wait_for_host(self) -> None:
        """Wait for a host by polling: a pty gives no other sign of being opened."""
        loop = asyncio.get_running_loop()
        if _has_host(self._master):
            self._timer, self._is_open = None, True
            if self._reset_on_open and self._transport is not None:
                self._transport.reset()
            loop.add_reader(self._master, self._from_host)
        else:
            self._timer = loop.call_later(_CHECK_INTERVAL, self._wait_for_host)

    def _from_host(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # the host has closed the port
        if data and self._transport is not None:
            self._transport.write(data)
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self._is_open = False
        self._wait_for_host()

    def _to_host(self, data: bytes) -> None:
        if self._is_open:
            # what the host does not read is lost, as with a UART
            with contextlib.suppress(OSError):
                os.write(self._master, data)


def _has_host(master: int) -> bool:
    poll = select.poll()
    poll.register(master, select.POLLIN)
    return not any(events & select.POLLHUP for _, events in poll.poll(0))


def _replace_link(link: Path, target: str) -> None:
    if link.is_symlink() and not link.exists():
        link.unlink()
    try:
        link.symlink_to(target)
    except FileExistsError as error:
        raise FileExistsError(f"{link} exists; remove it, or choose another path for the port") from error
    except OSError as error:
        raise OSError(f"cannot create the port at {link}: {error.strerror}; choose another path") from error
