"""What a key of the configuration is: a field of a dataclass, with its meaning and the values that it takes."""

import math
from dataclasses import field
from typing import TypeVar

from gcode.frozen import frozen

T = TypeVar("T")
Texts = tuple[str, ...]


@frozen
class Option:
    """What a key means and which values it takes, besides its type."""

    doc: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    gcode: bool = False
    each: type | None = None


def option(
    default: T,
    doc: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
    gcode: bool = False,
    each: type | None = None,
) -> T:
    """Declare a key: its default, its comment and its allowed values; with `gcode` they are commands.

    With `each` it is a list of tables; each becomes one of that class, whose fields are declared in the same way. Where
    they have a name, no two have the same one.
    """
    return field(default=default, metadata={"option": Option(doc, low, high, choices, gcode, each)})
