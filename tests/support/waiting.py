"""How often tests look whether what they wait for has come."""

import asyncio

SHARE = 200  # of a long wait a look comes late by no more than 1 / SHARE


def pause(since: float, shortest: float) -> float:
    """Return the seconds until the next look: `shortest` at first, more in a wait of minutes, where each look counts.

    On the virtual clock a wait costs nothing but its looks.

    Args:
        since: when the wait began, by the loop's clock.
        shortest: s.
    """
    return max(shortest, (asyncio.get_running_loop().time() - since) / SHARE)
