"""How long tests wait for what is real, and how often they look whether it has come."""

import asyncio

PATIENCE = 90.0
"""s for whatever a process, a socket, a disk or a browser is to do. It costs nothing in a test that passes; a machine
that is four times as slow, and busy with the rest of the suite, may need a good part of it for what takes one here."""

SHARE = 200  # of a long wait a look comes late by no more than 1 / SHARE


def pause(since: float, shortest: float) -> float:
    """Return the seconds until the next look: `shortest` at first, more in a wait of minutes, where each look counts.

    On the virtual clock a wait costs nothing but its looks.

    Args:
        since: when the wait began, by the loop's clock.
        shortest: s.
    """
    return max(shortest, (asyncio.get_running_loop().time() - since) / SHARE)
