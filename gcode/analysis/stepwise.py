"""What commands between the moves set, as columns beside the moves: constant from one change to the next."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Stepwise(Generic[T]):
    """One value that changes now and then. `row` counts the rows of this block."""

    __slots__ = ("rows", "values")

    def __init__(self, value: T) -> None:
        self.rows = [0]
        self.values = [value]

    @property
    def last(self) -> T:
        """The value that holds now."""
        return self.values[-1]

    def set(self, row: int, value: T) -> None:
        """From this row on it is `value`; rows never go back."""
        if row == self.rows[-1]:
            self.values[-1] = value
        elif value != self.values[-1]:
            self.rows.append(row)
            self.values.append(value)

    def counts(self, rows: int) -> list[int]:
        """Return for how many rows each value holds."""
        return [b - a for a, b in zip(self.rows, [*self.rows[1:], rows], strict=True)]

    def column(self, rows: int) -> NDArray[Any]:
        """Return the value at each row."""
        return np.repeat(np.array(self.values), self.counts(rows))

    @property
    def constant(self) -> bool:
        """It has not changed in this block."""
        return len(self.values) == 1

    def next_block(self) -> None:
        """Forget all but the last value."""
        del self.values[:-1]
        self.rows = [0]
