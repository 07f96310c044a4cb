#!/usr/bin/python3 -I
"""Turn the heaters of a printer off when its daemon cannot start: `safe-off nozzled` or `safe-off nozzled@PRINTER`.

systemd runs this when it gives up restarting the daemon. Because the daemon's environment may be broken, this program
uses only the system's Python and its standard library, takes no lock, and reads only two small files.
"""

import argparse
import fcntl
import json
import os
import select
import stat
import struct
import sys
import termios
import time  # noqa: TID251 - there is no loop here
import tomllib
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE, CONFIG, BY_ID = Path("/var/lib"), Path("/etc"), Path("/dev/serial/by-id")
DEFAULT_BAUDRATE = 115200
MAX_BAUDRATE, MAX_EXTRUDERS, MAX_FILE_BYTES = 20_000_000, 64, 1 << 20
UNREADABLE = (OSError, ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)
"""Errors from a file with any content: none of them may keep the heaters on."""
DELAYS = (0.0, 0.1, 0.3)  # s before each try; more than one, as the firmware may drop a command after a torn line
STOP_SIGNS = (b"halted", b"start", b"emergency stop", b"state: shutdown", b"up and running")  # halted, or booting
PULSE_S = 0.1  # s for which DTR is low
CONFIRM_TIMEOUT = 5.0  # s to wait for a confirmation; a board boots in less
WRITE_TIMEOUT = 1.0  # s to wait for a port whose buffer is full

TCGETS2, TCSETS2, BOTHER, CBAUD = 0x802C542A, 0x402C542B, 0o10000, 0o10017  # for baudrates without a name


@dataclass
class PrinterPort:
    """The printer's port, and the heaters of the printer."""

    port: str
    baudrate: int = DEFAULT_BAUDRATE
    extruders: int = 1
    chamber: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if the printer has confirmed that it stopped."""
    args = _parser().parse_args(arguments)
    target = find(args.unit, args.state, args.config)
    if not target.port:
        return _say(3, f"{args.unit}: the serial port of the printer is not known, so its heaters cannot be turned off")
    try:
        stopped = make_safe(target)
    except OSError as error:
        return _say(2, f"{target.port}: {error.strerror}; CUT THE PRINTER'S POWER if it moves or heats")
    if stopped:
        _say(4, f"{target.port}: the printer has stopped, its heaters are off")
        return 0
    return _say(2, f"{target.port}: the printer did not confirm the stop; CUT THE PRINTER'S POWER if it moves or heats")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="safe-off", description=__doc__)
    parser.add_argument("unit", help="nozzled, or nozzled@PRINTER")
    parser.add_argument("--state", type=Path, default=STATE, help=f"where state directories are ({STATE})")
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"where configurations are ({CONFIG})")
    return parser


def _say(severity: int, text: str) -> int:
    """Log a line with a priority of syslog (sd-daemon(3)); return the exit status of a failure."""
    sys.stderr.write(f"<{severity}>{text}\n")
    return 1


def find(unit: str, state: Path, config: Path) -> PrinterPort:
    """Return the printer's port as the daemon has noted it, otherwise as configured."""
    _, at, printer = unit.partition("@")
    target = PrinterPort(f"/dev/printer/{printer}" if at else "")
    _take_config(target, config / "nozzled" / f"{printer}.toml" if at else config / "nozzled.toml")
    _take_note(target, state / (f"nozzled-{printer}" if at else "nozzled") / "line.json")
    if target.port == "auto":
        target.port = _only_free_port()
    return target


def _take_config(target: PrinterPort, path: Path) -> None:
    try:
        tables: dict[str, Any] = tomllib.loads(_text(path))
    except UNREADABLE:
        return  # a mistake in the configuration may be why the daemon does not start
    with suppress(*UNREADABLE):
        address = str(tables["printer"]["address"])
        scheme, _, rest = (f"serial:{address}" if address.startswith("/") else address).partition(":")
        if scheme == "serial":
            port, _, options = rest.partition("?")
            target.port = _path(port)
            target.baudrate = _baudrate(
                _option(options, "baudrate") or tables["printer"].get("baudrate", target.baudrate)
            )
    with suppress(*UNREADABLE):
        target.extruders = _extruders(tables["profile"].get("extruders", target.extruders))
    with suppress(*UNREADABLE):
        target.chamber = bool(tables["profile"].get("heated_chamber", target.chamber))


def _option(options: str, wanted: str) -> str:
    return next(
        (value for name, _, value in (each.partition("=") for each in options.split("&")) if name == wanted), ""
    )


def _take_note(target: PrinterPort, path: Path) -> None:
    try:
        note = json.loads(_text(path))
        port, baudrate = _path(str(note["port"])), _baudrate(note["baudrate"])
        extruders, chamber = _extruders(note["extruders"]), bool(note["chamber"])
    except UNREADABLE:
        return  # the daemon has never been connected, or another program has written the file
    target.port, target.baudrate, target.extruders, target.chamber = port, baudrate, extruders, chamber


def _text(path: Path) -> str:
    """Read a regular file; reading a pipe could hang."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("this is no file")
        return file.read(MAX_FILE_BYTES).decode("utf-8")


def _baudrate(value: Any) -> int:
    if not 1 <= (number := int(value)) <= MAX_BAUDRATE:
        raise ValueError(f"{number} is no baudrate")
    return number


def _extruders(value: Any) -> int:
    return min(max(int(value), 1), MAX_EXTRUDERS)


def _path(text: str) -> str:
    if "\0" in text:
        raise ValueError("no path has a zero")
    return text


def _only_free_port() -> str:
    """Return the only unused port; "" if there are none or several: no other printer's print must be ended."""
    free = []
    for path in sorted(BY_ID.glob("*")):
        with suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free.append(str(path))
            finally:
                os.close(fd)
    return free[0] if len(free) == 1 else ""


def make_safe(target: PrinterPort) -> bool:
    """Stop the printer by every means that its firmware may know; return whether it confirmed.

    Raises:
        OSError: the port does not exist, or cannot be opened or written to.
    """
    # without taking the lock: its holder is dead or hangs
    fd = os.open(target.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    with closing(os.fdopen(fd, "r+b", buffering=0)):
        _configure(fd, target.baudrate)
        received = b""
        for delay in DELAYS:
            received += _listen(fd, delay)
            _write(fd, commands(target.extruders, chamber=target.chamber))
        if _stopped(received := received + _listen(fd, 0.2)):
            return True
        _reset(fd)  # during M109 or a long move a firmware reads nothing
        return _stopped(received + _listen(fd, CONFIRM_TIMEOUT, until=_stopped))


def commands(extruders: int, *, chamber: bool) -> bytes:
    """Return the emergency stop, followed by heaters off for a firmware that does not know M112."""
    tools = ["M104 S0", *(f"M104 T{tool} S0" for tool in range(1, extruders))]
    return "\n".join(["", "M112", *tools, "M140 S0", *(["M141 S0"] if chamber else []), "M107", ""]).encode()


def _stopped(received: bytes) -> bool:
    text = received.lower()
    return any(piece in text for piece in STOP_SIGNS)


def _configure(fd: int, baudrate: int) -> None:
    """Set raw mode and the baudrate; if the device does not allow it, the port stays as the daemon has left it."""
    with suppress(OSError, termios.error):
        flags = termios.tcgetattr(fd)
        flags[0] = flags[1] = flags[3] = 0
        flags[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
        flags[6][termios.VMIN], flags[6][termios.VTIME] = 0, 0
        termios.tcsetattr(fd, termios.TCSANOW, flags)
        settings = bytearray(struct.calcsize("4I20B2I"))  # struct termios2
        fcntl.ioctl(fd, TCGETS2, settings)
        *fields, _, _ = struct.unpack("4I20B2I", settings)
        fields[2] = fields[2] & ~CBAUD | BOTHER
        fcntl.ioctl(fd, TCSETS2, struct.pack("4I20B2I", *fields, baudrate, baudrate))


def _write(fd: int, data: bytes) -> None:
    end = time.monotonic() + WRITE_TIMEOUT
    while data and time.monotonic() < end:
        with suppress(BlockingIOError):
            data = data[os.write(fd, data) :]
            continue
        select.select([], [fd], [], max(0.0, end - time.monotonic()))


def _listen(fd: int, seconds: float, until: Callable[[bytes], bool] | None = None) -> bytes:
    """Return the bytes that arrive in this time; stop earlier if they satisfy `until`."""
    received, end = b"", time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not (until and until(received)):
        if not select.select([fd], [], [], left)[0]:
            break
        with suppress(BlockingIOError):
            data = os.read(fd, 4096)
            if not data:  # hung up
                break
            received += data
    return received


def _reset(fd: int) -> None:
    """Pulse DTR, which resets most boards."""
    with suppress(OSError):  # a port without control lines
        fcntl.ioctl(fd, termios.TIOCMBIC, struct.pack("I", termios.TIOCM_DTR))
        time.sleep(PULSE_S)
        fcntl.ioctl(fd, termios.TIOCMBIS, struct.pack("I", termios.TIOCM_DTR))


if __name__ == "__main__":
    sys.exit(main())
