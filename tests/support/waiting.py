"""How long tests wait for processes, sockets, disks and browsers, and how often they poll."""

import asyncio

TIMEOUT_S = 90.0
"""A passing test waits no longer than necessary; on a slow machine, beside the rest of the suite, that can be long."""

POLLS_PER_WAIT = 200  # polling makes a long wait longer by at most 1 / POLLS_PER_WAIT


def pause(since: float, shortest: float) -> float:
    """Return the seconds until the next poll: `shortest` at first, more in a wait of minutes.

    On the virtual clock only the polls of a wait cost anything.

    Args:
        since: loop time at which the wait began.
        shortest: in s.
    """
    return max(shortest, (asyncio.get_running_loop().time() - since) / POLLS_PER_WAIT)
