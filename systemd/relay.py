#!/usr/bin/python3 -I
"""Hold the GPIO line of a relay: `relay INSTANCE`, as nozzled-relay@INSTANCE.service runs it.

The kernel releases a GPIO line when the process that holds it ends, and then the relay drops out. So the GPIO line is
not held by the daemon, which is restarted and upgraded, but by this program, which does little else and needs only the
system's Python. While this program restarts, systemd holds the GPIO line (FDSTORE=1). The program changes the level
only on command: at its start it takes the GPIO line as it is, input or output.

The environment names the GPIO line: CHIP (/dev/gpiochip0), LINE (its offset, like 17), ACTIVE_LOW (yes or no). A client
sends get, on or off to its socket, and gets on, off, or error with the reason.
"""

import fcntl
import os
import re
import socket
import stat
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path

FOLDER = Path("/run/nozzled-relay")
MAX_QUESTION = 16  # bytes
CLIENT_TIMEOUT = 2.0  # s to wait for a client
FIRST_DESCRIPTOR = 3  # of those that systemd passes (SD_LISTEN_FDS_START)
STORED = "relay"  # the name of the GPIO line in systemd's descriptor store

# linux/gpio.h, version 2 of the interface for user space
GET_LINE, SET_CONFIG, GET_VALUES, SET_VALUES, GET_INFO = 0xC250B407, 0xC110B40D, 0xC010B40E, 0xC010B40F, 0xC100B405
OUTPUT = 8  # flag; without it the direction does not change
OUTPUT_VALUES = 2  # the attribute with the first level of an output
_CONFIG = struct.Struct("=QI20x" + "I4xQQ" * 10)  # gpio_v2_line_config: flags, number of attributes, attributes
_REQUEST = struct.Struct(f"=64I32s{_CONFIG.size}sII20xi")  # gpio_v2_line_request
_VALUES = struct.Struct("=QQ")  # gpio_v2_line_values: bits, mask
_INFO = struct.Struct("=32s32sIIQ160s16x")  # gpio_v2_line_info: name, consumer, offset, attributes, flags

Ioctl = Callable[[int, int, bytearray], int]


class RelayLine:
    """The GPIO line of the relay, held by this process."""

    def __init__(
        self, chip: str, line: int, *, active_low: bool, descriptor: int | None, ioctl: Ioctl = fcntl.ioctl
    ) -> None:
        """Take the GPIO line as it is, or take over its descriptor from systemd's store."""
        self._ioctl = ioctl
        self._chip, self._line, self._low = chip, line, active_low
        self.descriptor = self._take() if descriptor is None else descriptor

    def get(self) -> bool:
        """Return whether the relay is on, by the level of the GPIO line."""
        values = bytearray(_VALUES.pack(0, 1))
        self._ioctl(self.descriptor, GET_VALUES, values)
        return bool(_VALUES.unpack(values)[0] & 1) != self._low

    def turn(self, *, on: bool) -> None:
        """Set the level of the GPIO line; an input becomes an output with this level."""
        level = int(on != self._low)
        if self._is_output():
            self._ioctl(self.descriptor, SET_VALUES, bytearray(_VALUES.pack(level, 1)))
        else:
            self._ioctl(self.descriptor, SET_CONFIG, bytearray(config(OUTPUT, level)))

    def _take(self) -> int:
        """Request the GPIO line without a direction, which does not change it; return its descriptor."""
        request = bytearray(_REQUEST.pack(self._line, *[0] * 63, b"nozzled-relay", config(0, None), 1, 0, 0))
        with self._opened() as chip:
            self._ioctl(chip.fileno(), GET_LINE, request)
        return int(_REQUEST.unpack(request)[-1])

    def _is_output(self) -> bool:
        info = bytearray(_INFO.pack(b"", b"", self._line, 0, 0, b""))
        with self._opened() as chip:
            self._ioctl(chip.fileno(), GET_INFO, info)
        return bool(_INFO.unpack(info)[4] & OUTPUT)

    def _opened(self) -> "closing[_Chip]":
        return closing(_Chip(self._chip))


class _Chip:
    """The chip's device, open."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def config(flags: int, level: int | None) -> bytes:
    """Return gpio_v2_line_config, for one GPIO line."""
    attribute = (OUTPUT_VALUES, level, 1) if level is not None else (0, 0, 0)
    return _CONFIG.pack(flags, 0 if level is None else 1, *attribute, *[0] * 27)


def main(arguments: list[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Serve clients until the process is ended."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1 or not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", words[0]):
        return _say(2, "usage: relay INSTANCE")
    if not re.fullmatch(r"\d{1,4}", environ.get("LINE", "")):
        return _say(2, f"/etc/nozzled/relay-{words[0]}.conf needs LINE, the offset of the relay's GPIO line, like 17")
    chip, low = environ.get("CHIP") or "/dev/gpiochip0", environ.get("ACTIVE_LOW", "no")
    if low not in ("yes", "no"):
        return _say(2, f"ACTIVE_LOW must be yes or no, not {low[:20]}")
    try:
        relay = RelayLine(chip, int(environ["LINE"]), active_low=low == "yes", descriptor=stored(environ))
    except OSError as error:
        return _say(1, f"{chip}, GPIO line {environ['LINE']}: {error.strerror}")
    if stored(environ) is None:
        notify(environ, f"FDSTORE=1\nFDNAME={STORED}", relay.descriptor)
    listener = listen(FOLDER / f"{words[0]}.sock")
    notify(environ, "READY=1")
    while True:
        serve(listener, relay)


def serve(listener: socket.socket, relay: RelayLine) -> None:
    """Accept a client, and carry out its command."""
    caller, _ = listener.accept()
    with closing(caller), suppress(OSError):
        caller.settimeout(CLIENT_TIMEOUT)
        command = b""
        while b"\n" not in command and len(command) < MAX_QUESTION and (piece := caller.recv(MAX_QUESTION)):
            command += piece
        caller.sendall(answer(command.strip(), relay) + b"\n")


def answer(command: bytes, relay: RelayLine) -> bytes:
    """Return the answer."""
    try:
        if command in (b"on", b"off"):
            relay.turn(on=command == b"on")
        elif command != b"get":
            return b"error: get, on or off"
        return b"on" if relay.get() else b"off"
    except OSError as error:
        return f"error: {error.strerror}".encode()


def listen(path: Path) -> socket.socket:
    """Return a socket that only this user can open."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    os.umask(0o077)
    listener.bind(os.fspath(path))
    listener.listen(4)
    return listener


def stored(environ: Mapping[str, str]) -> int | None:
    """Return the descriptor of the GPIO line in systemd's store; None: it is not there."""
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    if environ.get("LISTEN_PID") != str(os.getpid()) or STORED not in names:
        return None
    fd = FIRST_DESCRIPTOR + names.index(STORED)
    try:
        return fd if not stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None


def notify(environ: Mapping[str, str], text: str, fd: int | None = None) -> None:
    """Notify systemd, with or without a descriptor, if there is a systemd."""
    where = environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as out, suppress(OSError):
        out.connect("\0" + where[1:] if where.startswith("@") else where)
        socket.send_fds(out, [text.encode()], [fd] if fd is not None else [])


def _say(status: int, text: str) -> int:
    sys.stderr.write(f"relay: {text}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
