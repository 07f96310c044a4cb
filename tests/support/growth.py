"""How the CPU time of work grows with its input: linearly or quadratically."""

import time
from collections.abc import Callable

STEPS = 4
QUADRATIC = 2.0 ** (STEPS * 2)
LINEAR = 2.0**STEPS
"""The factor by which linear and quadratic work take longer, when the input grows by 2 ** STEPS."""

MEASURABLE = 0.002  # s of CPU; less cannot be measured


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Tell whether the time of `work(n)`, from `size` to 16 times that, is nearer to linear than to quadratic."""
    short, long = _seconds(work, size), _seconds(work, size * int(LINEAR))
    return long < MEASURABLE or long < max(short, MEASURABLE / QUADRATIC) * (LINEAR * QUADRATIC) ** 0.5


def _seconds(work: Callable[[int], object], size: int) -> float:
    """Return the CPU seconds of the fastest of three runs: disturbances only make a run longer."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work(size)
        times.append(time.process_time() - began)
    return min(times)
