"""How the time of a piece of work grows with its input: measured by doubling, in CPU time, as ratios of one run."""

import time
from collections.abc import Callable

STEPS = 4
QUADRATIC = 2.0 ** (STEPS * 2)
LINEAR = 2.0**STEPS
"""What the input grows by in all, and what a linear and a quadratic piece of work takes longer by."""

ENOUGH = 0.002  # s of CPU; what takes less for the longest input cannot be told from nothing


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Tell whether `work(n)` takes time in proportion to n, from `size` to 16 times that.

    What is nearer to quadratic does not.
    """
    short, long = _seconds(work, size), _seconds(work, size * int(LINEAR))
    return long < ENOUGH or long < max(short, ENOUGH / QUADRATIC) * (LINEAR * QUADRATIC) ** 0.5


def _seconds(work: Callable[[int], object], size: int) -> float:
    """Return the CPU seconds of the fastest of three: what disturbs only ever makes it longer."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work(size)
        times.append(time.process_time() - began)
    return min(times)
