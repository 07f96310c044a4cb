"""How a process of the daemon ends."""

import os
import threading

STDERR = 2  # the descriptor itself: `sys.stderr` may be replaced


def leave_threads_behind(status: int) -> None:
    """End at once where a thread sits in a disk that hangs; what matters is done and told by now."""
    if threading.active_count() > 1:
        os._exit(status)
