"""The mark of a file that is the rest of a lost print. Such a file begins where the nozzle stands, on top of the part.

So nothing may home or move Z first (`scripts.before_start` is left out), and it must not be printed by mistake.
"""

MARK = b"; nozzled: the rest of "
"""The beginning of its first line."""

DANGER = "it is the rest of a print, and assumes that the nozzle touches the top of the part"
"""Why such a file is not printed until the user confirms that."""

ADVICE = "If the nozzle does touch it, and the part has not moved, the file can be printed"
"""What the user can do about that."""


def is_rest(beginning: bytes) -> bool:
    """Tell by its first bytes whether a file is the rest of a print."""
    return beginning.startswith(MARK)
