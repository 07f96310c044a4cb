"""Scenarios: what goes wrong with a simulated printer, and when; a small TOML file or a Python value.

    [[fault]]
    what = "flip"          # one bit of a byte on its way to the printer …
    line = 120             # … in the line with this number

    [[fault]]
    what = "unplug"
    time = 300             # s after the printer was switched on first
    seconds = 8            # until it is plugged in again

    [[fault]]
    what = "lose_ok"
    probability = 0.001    # of each ok; the printer's seed decides

`KINDS` says what there is and what each takes; `hal.simulated.faults` does it.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from gcode.frozen import frozen
from hal.errors import ScenarioError

WHEN = ("line", "time", "temperature", "probability")
"""Each fault has exactly one of these."""

FOR_EVER = float("inf")


class FaultKind(NamedTuple):
    """One thing that can go wrong: what it is for the user, and which settings it has besides `when` and `count`."""

    meaning: str
    takes: tuple[str, ...] = ()
    seconds: float = FOR_EVER  # where a fault does not say


KINDS = {
    # bytes on the line
    "flip": FaultKind("one bit of each byte is another", ("direction", "bytes")),
    "drop": FaultKind("bytes vanish", ("direction", "bytes")),
    "duplicate": FaultKind("each of some bytes comes twice", ("direction", "bytes")),
    "delay": FaultKind("what is sent from here on comes late", ("direction", "seconds"), 1.0),
    "overrun": FaultKind("bytes find the receive buffer full", ("bytes",)),
    "text": FaultKind("text that no command has asked for", ("text",)),
    # answers
    "lose_ok": FaultKind("an ok is not said"),
    "double_ok": FaultKind("an ok is said twice"),
    "late_ok": FaultKind("a line is answered late, with no busy message meanwhile", ("seconds",), 5.0),
    "resend": FaultKind("a good line is taken for a bad one"),
    # the board
    "hang": FaultKind("the firmware does nothing, says nothing and reads nothing", ("seconds",)),
    "kill": FaultKind("the firmware halts itself, and says nothing more", ("text",)),
    "halt": FaultKind("the firmware stops the machine, and goes on to answer", ("text",)),
    "reset": FaultKind("the board boots; by power it is off for some seconds before", ("by", "seconds"), 2.0),
    "unplug": FaultKind("the cable is pulled, and plugged in again", ("seconds",)),
    # the machine
    "no_heat": FaultKind("a heater does not heat any more", ("heater",)),
    "sensor_open": FaultKind("a thermistor has come off its plug: far too cold", ("heater",)),
    "sensor_short": FaultKind("a thermistor is shorted: far too hot", ("heater",)),
    "runaway": FaultKind("a heater's switch is stuck on", ("heater",)),
    "endstop": FaultKind("an endstop does not trigger", ("axis",)),
    "runout": FaultKind("the filament ends: M600, until somebody answers at the printer", ("seconds",)),
    # the panel
    "panel_pause": FaultKind("somebody chooses Pause"),
    "panel_resume": FaultKind("somebody chooses Resume"),
    "panel_cancel": FaultKind("somebody chooses Stop, and the host is asked for it"),
    "panel_stop": FaultKind("somebody chooses Stop; the firmware forgets what is queued, and no ok comes for it"),
    "self_pause": FaultKind("the firmware pauses the print itself, until somebody chooses Resume", ("seconds",)),
    "touch_print": FaultKind("a touch screen prints by a port of its own", ("seconds",)),
}  # fmt: skip

_ALLOWED: dict[str, tuple[str, ...]] = {
    "what": tuple(KINDS),
    "direction": ("to_printer", "to_host"),
    "by": ("dtr", "power"),
    "axis": ("X", "Y", "Z"),
}


@frozen
class Fault:
    """One fault. `count` is how often it happens: once unless it says so, without end where a probability decides.

    Raises:
        ScenarioError: it makes no sense; names the setting, its value, and what is allowed.
    """

    what: str
    line: int | None = None
    time: float | None = None
    temperature: float | None = None
    probability: float | None = None
    count: int | None = None
    direction: str = "to_printer"
    bytes: int = 1
    seconds: float | None = None
    heater: str = "hotend"
    axis: str = "Z"
    by: str = "dtr"
    text: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def duration(self) -> float:
        """Seconds that it lasts."""
        return KINDS[self.what].seconds if self.seconds is None else self.seconds

    @property
    def times(self) -> float:
        """How often it happens at most."""
        if self.count is not None:
            return self.count
        return 1 if self.probability is None else FOR_EVER


@frozen
class Scenario:
    """All that goes wrong in a run; falsy where nothing does."""

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.faults)


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioError: it cannot be read, or something in it makes no sense; says where, what, and what is allowed.
    """
    try:
        return from_table(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ScenarioError(f"scenario {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"scenario {path}: no TOML: {error}") from error
    except ScenarioError as error:
        raise ScenarioError(f"scenario {path}: {error}") from error


def from_table(table: Mapping[str, Any]) -> Scenario:
    """Return the scenario that a TOML table describes.

    Raises:
        ScenarioError: something in it makes no sense.
    """
    for key in table:
        if key != "fault":
            raise ScenarioError(f"unknown {key!r}; allowed: [[fault]] tables")
    found = table.get("fault", [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ScenarioError(f"fault is {found!r}; allowed: [[fault]] tables")
    return Scenario(tuple(_fault(number, each) for number, each in enumerate(found, 1)))


def _fault(number: int, table: dict[str, Any]) -> Fault:
    names = [field.name for field in fields(Fault)]
    for key in table:
        if key not in names:
            raise ScenarioError(f"fault {number}: unknown setting {key!r}; allowed: {', '.join(names)}")
    if "what" not in table:
        raise ScenarioError(f"fault {number}: what is missing; allowed: {', '.join(KINDS)}")
    try:
        return Fault(**table)
    except ScenarioError as error:
        raise ScenarioError(f"fault {number}: {error}") from None


def _check(fault: Fault) -> None:
    for name, allowed in _ALLOWED.items():
        _demand(fault, name, getattr(fault, name) in allowed, ", ".join(allowed))
    for name, (test, allowed_text) in _VALUES.items():
        value = getattr(fault, name)
        _demand(fault, name, value is None or test(value), allowed_text)
    given = [name for name in WHEN if getattr(fault, name) is not None]
    if len(given) != 1:
        raise ScenarioError(
            f"{fault.what} happens at {' and '.join(given) or 'no time'}; allowed: one of {_list(WHEN)}"
        )
    _check_settings(fault)


def _check_settings(fault: Fault) -> None:
    takes = KINDS[fault.what].takes
    for field in fields(fault):
        own = field.name in (*WHEN, "what", "count", *takes)
        # a temperature is some heater's
        if not (own or (field.name == "heater" and fault.temperature is not None)):
            value = getattr(fault, field.name)
            _demand(fault, field.name, value == field.default, f"nothing, {fault.what} takes {_list(takes)}")
    if fault.what == "text" and not fault.text:
        raise ScenarioError("text is ''; allowed: the line that is to be said")


def _demand(fault: Fault, name: str, met: bool, allowed: str) -> None:
    if not met:
        raise ScenarioError(f"{name} is {getattr(fault, name)!r}; allowed: {allowed}")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no settings of its own"


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_positive(value: object) -> bool:
    return _is_natural(value) and value != 0


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_temperature(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1000  # noqa: PLR2004 - °C


def _is_probability(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


_VALUES: dict[str, tuple[Callable[[object], bool], str]] = {
    "line": (_is_natural, "a line number"),
    "time": (_is_seconds, "seconds, 0 or more"),
    "temperature": (_is_temperature, "°C"),
    "probability": (_is_probability, "a number above 0, at most 1"),
    "count": (_is_positive, "a whole number above 0"),
    "bytes": (_is_positive, "a whole number above 0"),
    "seconds": (_is_seconds, "seconds, 0 or more"),
    "heater": (lambda value: isinstance(value, str) and bool(value), "the name of a heater, like hotend or bed"),
    "text": (_is_line, "one line of printable text"),
}
