"""A key of the configuration: a field of a dataclass with its meaning and its allowed values."""

import math
from dataclasses import field
from typing import TypeVar

from gcode.frozen import frozen

T = TypeVar("T")
Texts = tuple[str, ...]


@frozen
class Option:
    """The meaning of a key, and its allowed values as far as its type does not say them."""

    doc: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    gcode: bool = False
    table_type: type | None = None


def option(
    default: T,
    doc: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
    gcode: bool = False,
    table_type: type | None = None,
) -> T:
    """Declare a key: its default, its comment and its allowed values.

    With `gcode` the values are commands. With `table_type` the value is a list of tables. Each table becomes an
    instance of this class, whose fields are declared in the same way; if tables have a name, the names must differ.
    """
    return field(default=default, metadata={"option": Option(doc, low, high, choices, gcode, table_type)})
