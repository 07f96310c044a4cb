"""How a process of the daemon ends."""

import os
import threading

STDERR = 2  # the descriptor itself: `sys.stderr` may be replaced


def leave_threads_behind(status: int) -> None:
    """Exit at once if a thread hangs in a disk operation; everything that matters has been done and reported by now."""
    if threading.active_count() > 1:
        os._exit(status)
