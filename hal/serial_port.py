"""SerialTransport: a real serial port, or a pty, on the event loop.

pyserial opens and configures the port, at any baudrate; bytes then go through `os.read` and `os.write` on its
descriptor. A rising DTR resets most boards, because a capacitor connects it to their reset pin. So `reset` pulses DTR,
and opening a port resets the board if the kernel's driver raises DTR.
"""

import asyncio
import errno
import fcntl
import grp
import os
import pwd
import stat
import struct
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import serial

from hal import holders, ports
from hal.errors import AddressError, NoSuchPort, PortBusy, PortError, PortLost, PortPermission
from hal.flood import LARGE, Flood
from hal.loop import WatchedLoop
from hal.ports import AUTO
from hal.registry import Address, positive_int

DEFAULT_BAUDRATE = 115200

_READ_SIZE = 4096  # bytes in the kernel's buffer of a tty; a larger buffer would be allocated for each `ok`
_PULSE_S = 0.1  # seconds for which DTR is down
_PTY_MAJORS = range(136, 144)  # Linux: Documentation/admin-guide/devices.txt
_GROUP_ACCESS = 0o060

_TCGETS2, _TCSETS2, _BOTHER, _CBAUD = 0x802C542A, 0x402C542B, 0o10000, 0o10017  # asm-generic/termbits.h
_TERMIOS2 = struct.Struct("4I20B2I")

_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO)  # errors of a device that was unplugged while it was being opened
_OPEN_ERRORS = (OSError, termios.error, ValueError, OverflowError)
"""The exceptions of pyserial's `open`; its SerialException is an OSError."""


def create_transport(address: Address) -> "SerialTransport":
    """Return the transport for `serial:PATH` or `serial:auto`, not open yet.

    Raises:
        AddressError: the path is missing or relative, or an option is unknown or wrong.
    """
    address.allow("baudrate", "parity")
    baudrate = address.option("baudrate", positive_int, "a whole number like 115200 or 250000")
    toggle = address.option("parity", _read_toggle, "toggle; leave it out otherwise: printers use no parity")
    if address.target != AUTO and not address.target.startswith("/"):
        raise AddressError(f"{address}: {address.target!r} is not a port; write serial:/dev/… or serial:auto")
    rate = baudrate or DEFAULT_BAUDRATE
    return SerialTransport(address.target, rate, address=str(address), toggle_parity=bool(toggle))


def _read_toggle(text: str) -> bool:
    if text != "toggle":
        raise ValueError
    return True


class SerialTransport:
    """A serial port as `hal.transport.Transport`.

    The port is locked by flock and not by TIOCEXCL, as `systemd/safe_off.py` must be able to open it to turn heaters
    off. Closing leaves DTR as it is (HUPCL is cleared), so that a restart of the service resets no board.
    """

    def __init__(
        self,
        path: str,
        baudrate: int = DEFAULT_BAUDRATE,
        *,
        address: str | None = None,
        toggle_parity: bool = False,
    ) -> None:
        """Prepare; the port is not opened yet.

        Args:
            path: of the port, or AUTO.
            baudrate: bits per second.
            address: as the user wrote it; by default made from path and baudrate.
            toggle_parity: see `open_port`.
        """
        self._path = path
        self._toggle_parity = toggle_parity
        self._baudrate = baudrate
        options = {} if baudrate == DEFAULT_BAUDRATE else {"baudrate": str(baudrate)}
        self._address = address or str(Address("serial", path, options))
        self._port: serial.Serial | None = None
        self._adopted = -1  # a descriptor that `reopen` uses
        self._fd = -1  # of `_port`; -1: not open
        self._closed = False
        self._queue = bytearray()  # bytes that the port has not taken yet; the caller limits them
        self._pulse: asyncio.TimerHandle | None = None  # raises DTR again

    @property
    def address(self) -> str:
        """The printer address, as the user would write it."""
        return self._address

    @property
    def baudrate(self) -> int:
        """Bits per second on the wire."""
        return self._baudrate

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open and lock the port.

        Raises:
            PortError: the port cannot be opened; says why, and what the user can do.
        """
        await self._open(partial(open_port, toggle_parity=self._toggle_parity), on_data, on_lost)

    async def reopen(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open without a reset: use the adopted descriptor, or open the port and keep its settings.

        Raises:
            PortError: the port cannot be opened; says why, and what the user can do.
        """
        await self._open(self._reopen_port, on_data, on_lost)

    def adopt(self, fd: int) -> None:
        """Take over an open descriptor of the port, with its unread bytes, for `reopen`."""
        self._adopted = fd

    @property
    def descriptor(self) -> int:
        """The open port's descriptor; -1: not open."""
        return self._fd

    def _reopen_port(self, path: str, baudrate: int) -> serial.Serial:
        fd, self._adopted = self._adopted, -1
        return reopen_port(path, baudrate, fd)

    async def _open(
        self,
        open_it: Callable[[str, int], serial.Serial],
        on_data: Callable[[bytes], None],
        on_lost: Callable[[PortError], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # in a thread, because a USB driver configures its device by round trips of some ms each
        opening = self._loop.run_in_executor(None, open_it, self._path, self._baudrate)
        try:
            port = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_result)
            raise
        if self._closed:
            port.close()
            raise PortLost(f"{self._address} was closed while it was being opened.")
        self._on_data, self._on_lost = on_data, on_lost
        self._port, self._fd = port, port.fileno()
        self._flood = Flood(on_data, self._stop_reading, self._start_reading)
        self._start_reading()

    def _start_reading(self) -> None:
        if self._fd >= 0:
            add = self._loop.add_wire if isinstance(self._loop, WatchedLoop) else self._loop.add_reader
            add(self._fd, self._readable)

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._fd)

    def write(self, data: bytes) -> None:
        """Write at once if nothing waits, and queue what the port does not take."""
        if self._fd < 0:
            return
        if self._queue:
            self._queue += data
            return
        try:
            sent = os.write(self._fd, data)
        except OSError:
            sent = self._write_some(data)  # tries again, and reports the loss
        if sent < len(data) and self._fd >= 0:
            self._queue += memoryview(data)[sent:]
            self._loop.add_writer(self._fd, self._writable)

    def reset(self) -> None:
        """Pulse DTR; bytes already written still go out."""
        if self._fd < 0:
            return
        self._set_dtr(up=False)
        if self._pulse is None:
            self._pulse = self._loop.call_later(_PULSE_S, self._end_pulse)

    def close(self) -> None:
        """Close the port; bytes that the kernel has taken still go out, and DTR stays up."""
        self._closed = True
        if self._port is None:
            return
        # a shorter pulse resets the board too: the rise of DTR does it
        self._end_pulse()
        if self._queue:
            with suppress(OSError):
                os.write(self._fd, self._queue)
        self._drop_queue()
        self._flood.stop()
        self._loop.remove_reader(self._fd)
        port, self._port, self._fd = self._port, None, -1
        self._release(port)

    def _release(self, port: serial.Serial) -> None:
        """Close the port; in a thread if bytes wait: the kernel waits up to 30 s for a device that takes none."""
        try:
            waiting = port.out_waiting
        except OSError:  # unplugged
            waiting = 0
        if waiting:
            self._loop.run_in_executor(None, port.close)
        else:
            port.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._lose(None)
            return
        if len(data) < LARGE:
            self._on_data(data)
        else:
            self._flood.take(data)

    def _writable(self) -> None:
        del self._queue[: self._write_some(self._queue)]
        if not self._queue:
            self._drop_queue()

    def _write_some(self, data: bytes | bytearray) -> int:
        """Write what the port takes and return how many bytes; a loss is reported from the loop, not within `write`."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._loop.call_soon(self._lose, error)
            return len(data)

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._loop.remove_writer(self._fd)

    def _lose(self, cause: OSError | None) -> None:
        """End the connection because the port is gone; only the first call counts."""
        if self._closed:
            return
        self.close()
        detail = f" ({cause.strerror})" if cause else ""
        error = PortLost(f"{self._address} is gone: unplugged, switched off or closed at the other end{detail}.")
        error.__cause__ = cause
        self._on_lost(error)

    def _end_pulse(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
            self._set_dtr(up=True)

    def _set_dtr(self, *, up: bool) -> None:
        if self._port is not None:
            with suppress(OSError):  # a pty has no DTR; the reader notices a port that is gone
                self._port.dtr = up


def open_port(path: str, baudrate: int, *, toggle_parity: bool = False) -> serial.Serial:
    """Open and lock a port; this blocks for a moment.

    Args:
        path: of the port, or AUTO.
        baudrate: bits per second.
        toggle_parity: open the port with odd parity first; without that, the connection hangs on some systems
            (https://github.com/OctoPrint/OctoPrint/issues/673).

    Raises:
        PortError: the port cannot be opened; says why, and what the user can do.
    """
    if path == AUTO:
        path = ports.auto_port().path
    try:
        if toggle_parity:
            serial.Serial(path, baudrate, parity=serial.PARITY_ODD, exclusive=True).close()
        try:
            return _open_locked(path, baudrate)
        except (ValueError, OverflowError) as error:
            if _errno(error) in _GONE:
                raise
            if not _is_pty(path):
                raise PortError(
                    f"{path} cannot do {baudrate} baud; try 115200 or 250000, or see the printer's manual."
                ) from error
        return _open_locked(path, DEFAULT_BAUDRATE)  # a pty carries bytes at any speed
    except _OPEN_ERRORS as error:
        raise _port_error(path, error) from error


def reopen_port(path: str, baudrate: int, fd: int = -1) -> serial.Serial:
    """Open a port without a reset or a flush; only settings that another program has changed are restored.

    Args:
        path: of the port.
        baudrate: to set if the port has another.
        fd: an open descriptor of the port; -1: there is none.

    Raises:
        PortError: the port cannot be opened; says why, and what the user can do.
    """
    if path == AUTO:
        path = ports.auto_port().path
    try:
        if fd < 0:
            fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        return _wrap(path, baudrate, fd)
    except _OPEN_ERRORS as error:
        raise _port_error(path, error) from error


def _wrap(path: str, baudrate: int, fd: int) -> serial.Serial:
    """Return the port for an open descriptor; pyserial's own `open` would flush the unread bytes."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an adopted descriptor already holds the lock
        _restore(fd, baudrate)
        os.set_blocking(fd, False)
    except BaseException:
        os.close(fd)
        raise
    port = serial.Serial()
    port.port, port.fd, port.is_open = path, fd, True
    # pyserial creates these in `open` and needs them in `close`
    port.pipe_abort_read_r, port.pipe_abort_read_w = os.pipe()
    port.pipe_abort_write_r, port.pipe_abort_write_w = os.pipe()
    return port


def _restore(fd: int, baudrate: int) -> None:
    """Restore the settings that another program has changed, and touch no others."""
    attributes = termios.tcgetattr(fd)
    if attributes[3] & (termios.ICANON | termios.ECHO):
        tty.setraw(fd, termios.TCSANOW)
        _configure(fd)
    constant = getattr(termios, f"B{baudrate}", None)
    attributes = termios.tcgetattr(fd)
    if constant is None:
        _set_unnamed_rate(fd, baudrate)
    elif attributes[5] != constant:
        attributes[4] = attributes[5] = constant
        termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _set_unnamed_rate(fd: int, baudrate: int) -> None:
    """Set a rate without a constant in termios, like 250000, which a device forgets when it is unplugged."""
    settings = bytearray(_TERMIOS2.size)
    fcntl.ioctl(fd, _TCGETS2, settings)
    *fields, rate_in, rate_out = _TERMIOS2.unpack(settings)
    if (fields[2] & _CBAUD, rate_in, rate_out) != (_BOTHER, baudrate, baudrate):
        fields[2] = fields[2] & ~_CBAUD | _BOTHER
        fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(*fields, baudrate, baudrate))


def _open_locked(path: str, baudrate: int) -> serial.Serial:
    # pyserial opens with O_NOCTTY, O_NONBLOCK and close-on-exec; `exclusive` is a flock
    port = serial.Serial(path, baudrate, timeout=0, write_timeout=0, exclusive=True)
    try:
        _configure(port.fileno())
    except BaseException:
        port.close()
        raise
    return port


def _configure(fd: int) -> None:
    """Set what pyserial does not set."""
    attributes = termios.tcgetattr(fd)
    attributes[2] &= ~termios.HUPCL  # a close leaves DTR up, so that the next open does not reset the board
    attributes[6][termios.VMIN] = 1  # an empty read means only "hung up"; with 0 it would also mean "no data"
    attributes[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _close_result(opening: "asyncio.Future[serial.Serial]") -> None:
    """Close a port whose `open` was cancelled before it was open."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _is_pty(path: str) -> bool:
    return os.major(Path(path).stat().st_rdev) in _PTY_MAJORS


def _port_error(path: str, error: BaseException) -> PortError:
    """Return the error for the user, by the system's error number."""
    match _errno(error):
        case errno.ENOENT | errno.ENXIO | errno.ENODEV | errno.ENOTDIR | errno.ELOOP:
            return NoSuchPort(f"There is no port {path}. {_existing_ports()}")
        case errno.EACCES | errno.EPERM as number:
            return PortPermission(_permission_advice(path, number))
        case errno.EAGAIN | errno.EBUSY:
            user = holders.describe(holders.of_file(path))
            return PortBusy(f"{path} is in use by {user}; end it or disconnect the printer there.")
        case errno.ENOTTY | errno.EISDIR | errno.EINVAL:
            return PortError(f"{path} is not a serial port. {_existing_ports()}")
        case errno.EIO:
            return NoSuchPort(f"{path} has no hardware behind it, or was just unplugged. {_existing_ports()}")
        case number:
            return PortError(f"{path} cannot be opened: {os.strerror(number) if number else error}.")


def _errno(error: BaseException | None) -> int:
    """Return the first error number in a chain of exceptions: pyserial wraps a termios.error without it."""
    while error is not None:
        if error.args and isinstance(error.args[0], int):
            return error.args[0]
        error = error.__context__
    return 0


def _existing_ports() -> str:
    existing = ports.list_ports()
    if existing:
        return f"There are: {ports.addresses(existing)}."
    return "There is no serial port: is the printer switched on and plugged in?"


def _permission_advice(path: str, number: int) -> str:
    """Return why this process may not open a port, and what helps."""
    try:
        node = Path(path).stat()
    except OSError:  # no access to a directory above it
        return f"This user may not open {path}: a directory above it is not accessible."
    user, group = _user_name(os.geteuid()), _group_name(node.st_gid)
    if number == errno.EPERM:
        return f"The system does not let this service open {path}; its unit needs a DeviceAllow= for the device."
    if node.st_mode & _GROUP_ACCESS != _GROUP_ACCESS or node.st_gid == 0:
        owner = f"{stat.filemode(node.st_mode)} {_user_name(node.st_uid)} {group}"
        return f"{user} may not open {path}, and no group helps ({owner}); a udev rule has to change its mode."
    if node.st_gid in (os.getegid(), *os.getgroups()):
        return f"{user} may not open {path}, even as a member of its group {group}; look for ACLs with: getfacl {path}"
    return f"{user} may not open {path}; run: sudo usermod -aG {group} {user} and log in again."


def _user_name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"


def _group_name(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return f"group {gid}"
