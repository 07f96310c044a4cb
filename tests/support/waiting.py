"""How long tests wait for processes, sockets, disks and browsers, and how often they poll."""

import asyncio

PATIENCE = 90.0
"""s. It costs nothing in a test that passes; a slow machine, busy with the rest of the suite, needs much of it."""

SHARE = 200  # polling makes a long wait longer by at most 1 / SHARE


def pause(since: float, shortest: float) -> float:
    """Return the seconds until the next poll: `shortest` at first, more in a wait of minutes.

    On the virtual clock a wait costs nothing but its polls.

    Args:
        since: when the wait began, by the loop's clock.
        shortest: s.
    """
    return max(shortest, (asyncio.get_running_loop().time() - since) / SHARE)
