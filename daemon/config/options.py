"""A key of the configuration: a field of a dataclass with its meaning and its allowed values."""

import math
from dataclasses import field
from typing import TypeVar

from gcode.frozen import frozen

T = TypeVar("T")
Texts = tuple[str, ...]


@frozen
class Option:
    """The meaning and the allowed values of a key, beside its type."""

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
    """Declare a key: its default, its comment and its allowed values.

    With `gcode` the values are commands. With `each` the key is a list of tables, which become instances of that class,
    whose fields are declared in the same way; their names, if they have any, must differ.
    """
    return field(default=default, metadata={"option": Option(doc, low, high, choices, gcode, each)})
