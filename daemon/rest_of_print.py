"""The mark of a file that is the rest of a lost print: it takes the place where the nozzle stands for the part's top.

So nothing may home or move Z before it (`scripts.before_start` is left out), and nobody prints it by chance.
"""

MARK = b"; nozzled: the rest of "
"""What its first line begins with."""

REASON = "it is the rest of a print: it takes the place where the nozzle stands for the top of the part"
"""Why it is not printed unless somebody says that it stands there."""

TOUCHES = "Where it does stand there, and the part has not moved, it can be printed"
"""What to do about that."""


def is_rest(beginning: bytes) -> bool:
    """Tell by the first bytes of a file."""
    return beginning.startswith(MARK)
