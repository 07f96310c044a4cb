"""Printer addresses, and their backends.

    sim                                      the simulated printer
    sim?speed=20&seed=1
    serial:/dev/ttyACM0                      a serial port
    serial:/dev/ttyACM0?baudrate=250000
    /dev/ttyACM0                             short for serial:/dev/ttyACM0
    serial:auto                              the one unlocked port with a name by id from udev, or with a twin
    tcp:192.168.1.20:8080                    a serial port on the network, without DTR
    replay:/tmp/session.jsonl.gz             a recorded session in place of a printer

An address is the same text in the configuration, on the command line and in the API. `%`, `?` and spaces in
a path are written as in URLs: %25, %3F, %20.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import field
from functools import cache
from typing import TypeVar, cast
from urllib.parse import quote, unquote

from gcode.frozen import frozen
from hal.driver import LinePrinter, LinkSettings
from hal.errors import AddressError
from hal.logbook import Logbook
from hal.printer import Printer
from hal.transport import Transport

ENTRY_POINTS = "nozzled.printers"
"""The entry point group in which other distributions offer backends, each under its scheme."""

# Scheme → "module:function", imported on first use: the simulated printer needs no pyserial.
_BUILT_IN = {
    "sim": "hal.simulated.backend:create_transport",
    "serial": "hal.serial_port:create_transport",
    "tcp": "hal.tcp_port:create_transport",
    "replay": "hal.replay:create_transport",
}
_SAFE = "/:@,+\\"
_MAX_INT = 2**31 - 1  # the kernel's limit for a baudrate
_MAX_DIGITS = 10

T = TypeVar("T")


@frozen
class Address:
    """The parts of a printer address; `str()` gives the user's text, or else the canonical one."""

    scheme: str
    target: str = ""
    options: dict[str, str] = field(default_factory=dict)
    text: str = field(default="", compare=False)  # as the user wrote it, for messages

    def __str__(self) -> str:
        if self.text:
            return self.text
        target = f":{_quote(self.target)}" if self.target else ""
        query = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in self.options.items())
        return f"{self.scheme}{target}?{query}" if query else f"{self.scheme}{target}"

    def allow(self, *names: str) -> None:
        """Refuse all options except these.

        Raises:
            AddressError: the address has another option.
        """
        for name in self.options:
            if name not in names:
                raise AddressError(f"{self}: unknown option {name!r}; allowed: {', '.join(names) or 'none'}")

    def option(self, name: str, convert: Callable[[str], T], allowed: str) -> T | None:
        """Return the option, converted by `convert`; None: the address does not have it.

        Raises:
            AddressError: `convert` raised ValueError; the text says what is `allowed`.
        """
        text = self.options.get(name)
        if text is None:
            return None
        try:
            return convert(text)
        except ValueError:
            raise AddressError(f"{self}: {name} is {text!r}; allowed: {allowed}") from None


Backend = Callable[[Address], Transport]
"""Makes the transport for an address, not open yet, or raises AddressError."""


def parse(address: str) -> Address:
    """Split an address into its parts.

    Raises:
        AddressError: the scheme is unknown or the text is malformed; says which part.
    """
    head, _, query = (f"serial:{address}" if address.startswith("/") else address).partition("?")
    scheme, _, target = head.partition(":")
    if scheme not in _BUILT_IN and scheme not in _other_schemes():
        raise AddressError(f"{address!r}: unknown kind of printer {scheme!r}; allowed: {', '.join(schemes())}")
    return Address(scheme, _unquote(address, target), _options(address, query), address)


def pace(address: str) -> float:
    """Return how many of the printer's seconds pass in one of ours: more than 1 for a faster simulation."""
    try:
        return float(parse(address).options.get("speed", 1.0))
    except (AddressError, ValueError):
        return 1.0


def check(address: str | Address) -> Address:
    """Check an address with its backend, and return its parts; nothing is opened.

    Raises:
        AddressError: the backend does not understand it; says which part.
        RecordingError: the recording that it names cannot be replayed.
    """
    if isinstance(address, str):
        address = parse(address)
    _backend(address.scheme)(address)
    return address


def schemes() -> list[str]:
    """Return the schemes of all backends: the built-in ones, then those of other distributions."""
    return [*_BUILT_IN, *sorted(_other_schemes() - _BUILT_IN.keys())]


def create(
    address: str | Address,
    settings: LinkSettings | None = None,
    wrap: Callable[[Transport], Transport] | None = None,
    logbook: Logbook | None = None,
) -> Printer:
    """Return the printer behind an address; nothing is opened yet. Needs a running loop.

    Args:
        address: of the printer.
        settings: of the link.
        wrap: puts something between driver and transport, such as a recorder.
        logbook: stores what the next host needs to reattach.

    Raises:
        AddressError: the backend does not understand the address; says which part.
    """
    if isinstance(address, str):
        address = parse(address)
    transport = _backend(address.scheme)(address)
    return LinePrinter(wrap(transport) if wrap else transport, settings, logbook)


def positive_int(text: str) -> int:
    """Return a whole number from 1 to 2³¹ - 1, or raise ValueError."""
    number = natural_int(text)
    if number == 0:
        raise ValueError("0 is not a whole number above 0")
    return number


def natural_int(text: str) -> int:
    """Return a whole number from 0 to 2³¹ - 1, or raise ValueError."""
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS or int(text) > _MAX_INT:
        raise ValueError(f"{text!r} is not a whole number from 0 to {_MAX_INT}")
    return int(text)


def positive_float(text: str) -> float:
    """Return a finite number above 0, or raise ValueError."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(f"{text!r} is not a finite number above 0")
    return number


def yes_or_no(text: str) -> bool:
    """Return whether a text is `yes` and not `no`, or raise ValueError."""
    if text not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes"


def _backend(scheme: str) -> Backend:
    if built_in := _BUILT_IN.get(scheme):
        module, _, name = built_in.partition(":")
        return cast("Backend", getattr(importlib.import_module(module), name))
    from importlib import metadata  # noqa: PLC0415 - 2 MB and 30 ms, only for other distributions' backends

    for entry in metadata.entry_points(group=ENTRY_POINTS, name=scheme):
        return cast("Backend", entry.load())
    raise AddressError(f"unknown kind of printer {scheme!r}; allowed: {', '.join(schemes())}")


@cache
def _other_schemes() -> frozenset[str]:
    from importlib import metadata  # noqa: PLC0415 - as above

    return frozenset(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))


def _options(address: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in query.split("&") if query else ():
        name, equals, value = (_unquote(address, part) for part in option.partition("="))
        if not (name and equals):
            raise AddressError(f"{address!r}: {option!r} is not an option; write name=value")
        if name in options:
            raise AddressError(f"{address!r}: {name} is given twice")
        options[name] = value
    return options


def _quote(text: str) -> str:
    return quote(text, safe=_SAFE)


def _unquote(address: str, text: str) -> str:
    text = unquote(text)
    if not text.isprintable():
        raise AddressError(f"{address!r}: {text!r} holds a character that cannot be printed")
    return text
