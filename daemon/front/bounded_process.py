"""The memory limit of the front's worker processes."""

import resource
from contextlib import suppress
from pathlib import Path

OOM_SCORE = Path("/proc/self/oom_score_adj")


def bound(memory: int) -> None:
    """Limit the address space of this process, in bytes, and let the kernel kill it first when memory runs out.

    Otherwise the kernel would kill the front, the largest process of its unit.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with suppress(OSError):
        OOM_SCORE.write_text("1000")
