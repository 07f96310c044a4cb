"""What the processes have in common that work on one file for the front: bounds on what they may take."""

import resource
from contextlib import suppress
from pathlib import Path

OOM_SCORE = Path("/proc/self/oom_score_adj")


def bound(memory: int) -> None:
    """Bound the address space of this process, in bytes; where the machine's memory ends, this process ends first.

    The front would be the largest one of its unit otherwise, and go in its place.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with suppress(OSError):
        OOM_SCORE.write_text("1000")
