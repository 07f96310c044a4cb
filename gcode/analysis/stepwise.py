"""Values that commands between the moves set, as columns parallel to the moves; constant between two changes."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Stepwise(Generic[T]):
    """One value that changes now and then; rows count within a block."""

    __slots__ = ("rows", "values")

    def __init__(self, value: T) -> None:
        self.rows = [0]
        self.values = [value]

    @property
    def last(self) -> T:
        """The current value."""
        return self.values[-1]

    def set(self, row: int, value: T) -> None:
        """Set the value from this row on; rows never decrease."""
        if row == self.rows[-1]:
            self.values[-1] = value
        elif value != self.values[-1]:
            self.rows.append(row)
            self.values.append(value)

    def counts(self, rows: int) -> list[int]:
        """Return the number of rows of each value."""
        return [b - a for a, b in zip(self.rows, [*self.rows[1:], rows], strict=True)]

    def column(self, rows: int) -> NDArray[Any]:
        """Return the value at each row."""
        return np.repeat(np.array(self.values), self.counts(rows))

    @property
    def is_constant(self) -> bool:
        """The value has not changed in this block."""
        return len(self.values) == 1

    def next_block(self) -> None:
        """Drop all values but the last."""
        del self.values[:-1]
        self.rows = [0]
