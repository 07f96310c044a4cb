"""Scenarios: the faults of a simulated printer and their times, in a TOML file or as a Python value.

    [[fault]]
    what = "flip"          # flip one bit of a byte on its way to the printer …
    line = 120             # … in the line with this number

    [[fault]]
    what = "unplug"
    time = 300             # s after the printer was first switched on
    seconds = 8            # until it is plugged in again

    [[fault]]
    what = "lose_ok"
    probability = 0.001    # of each ok; the printer's seed decides

`KINDS` lists the kinds of faults with their settings; `hal.simulated.faults` executes them.
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
    """A kind of fault; docs/simulator.md says what each one does.

    Attributes:
        settings: the settings that it has in addition to `count` and one of `WHEN`.
        seconds: the default of the setting `seconds`.
    """

    settings: tuple[str, ...] = ()
    seconds: float = FOR_EVER


KINDS = {
    # bytes on the wire
    "flip": FaultKind(("direction", "bytes")),
    "drop": FaultKind(("direction", "bytes")),
    "duplicate": FaultKind(("direction", "bytes")),
    "delay": FaultKind(("direction", "seconds"), 1.0),
    "overrun": FaultKind(("bytes",)),
    "text": FaultKind(("text",)),
    # answers
    "lose_ok": FaultKind(),
    "double_ok": FaultKind(),
    "late_ok": FaultKind(("seconds",), 5.0),
    "resend": FaultKind(),
    # the board
    "hang": FaultKind(("seconds",)),
    "kill": FaultKind(("text",)),
    "halt": FaultKind(("text",)),
    "reset": FaultKind(("by", "seconds"), 2.0),
    "unplug": FaultKind(("seconds",)),
    # the machine
    "no_heat": FaultKind(("heater",)),
    "sensor_open": FaultKind(("heater",)),
    "sensor_short": FaultKind(("heater",)),
    "runaway": FaultKind(("heater",)),
    "endstop": FaultKind(("axis",)),
    "runout": FaultKind(("seconds",)),
    # the panel
    "panel_pause": FaultKind(),
    "panel_resume": FaultKind(),
    "panel_cancel": FaultKind(),  # asks the host to cancel
    "panel_stop": FaultKind(),  # stops the print in the firmware
    "self_pause": FaultKind(("seconds",)),
    "touch_print": FaultKind(("seconds",)),
}

_ALLOWED: dict[str, tuple[str, ...]] = {
    "what": tuple(KINDS),
    "direction": ("to_printer", "to_host"),
    "by": ("dtr", "power"),
    "axis": ("X", "Y", "Z"),
}


@frozen
class Fault:
    """One fault, with its settings. It happens `count` times, by default once; with `probability`, without limit.

    Raises:
        ScenarioError: a setting is invalid; names the setting, its value, and what is allowed.
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
        """How long the fault lasts, in s."""
        return KINDS[self.what].seconds if self.seconds is None else self.seconds

    @property
    def max_count(self) -> float:
        """The most times that the fault happens."""
        if self.count is not None:
            return self.count
        return 1 if self.probability is None else FOR_EVER


@frozen
class Scenario:
    """All faults of a printer; false if there are none."""

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.faults)


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioError: it cannot be read, or it is invalid; names the place, the value, and what is allowed.
    """
    try:
        return from_table(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ScenarioError(f"scenario {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"scenario {path}: not TOML: {error}") from error
    except ScenarioError as error:
        raise ScenarioError(f"scenario {path}: {error}") from error


def from_table(table: Mapping[str, Any]) -> Scenario:
    """Return the scenario that a TOML table describes.

    Raises:
        ScenarioError: it is invalid.
    """
    for key in table:
        if key != "fault":
            raise ScenarioError(f"unknown {key!r}; allowed: [[fault]] tables")
    faults = table.get("fault", [])
    if not isinstance(faults, list) or not all(isinstance(each, dict) for each in faults):
        raise ScenarioError(f"fault is {faults!r}; allowed: [[fault]] tables")
    return Scenario(tuple(_fault(number, each) for number, each in enumerate(faults, 1)))


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
        _require(fault, name, getattr(fault, name) in allowed, ", ".join(allowed))
    for name, (test, allowed_text) in _VALUES.items():
        value = getattr(fault, name)
        _require(fault, name, value is None or test(value), allowed_text)
    when = [name for name in WHEN if getattr(fault, name) is not None]
    if len(when) != 1:
        raise ScenarioError(f"{fault.what} happens at {' and '.join(when) or 'no time'}; allowed: one of {_list(WHEN)}")
    _check_settings(fault)


def _check_settings(fault: Fault) -> None:
    settings = KINDS[fault.what].settings
    for field in fields(fault):
        is_own = field.name in (*WHEN, "what", "count", *settings)
        # `heater` also says whose `temperature` is meant
        if not (is_own or (field.name == "heater" and fault.temperature is not None)):
            value = getattr(fault, field.name)
            _require(fault, field.name, value == field.default, f"nothing, {fault.what} takes {_list(settings)}")
    if fault.what == "text" and not fault.text:
        raise ScenarioError("text is ''; allowed: the line to send")


def _require(fault: Fault, name: str, is_met: bool, allowed: str) -> None:
    if not is_met:
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
