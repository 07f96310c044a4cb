"""The generated parts of pages; `python -m support.generated` redraws them.

A part begins with `<!-- NAME: drawn by make docs -->` and ends with `<!-- end of NAME -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from support import error_classes, features, rooms

ROOT = Path(__file__).parents[2]

PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "docs/architecture.md": {"rooms": rooms.draw, "errors": error_classes.table},
    "docs/compatibility.md": {"features": features.table, "not yet": features.not_yet},
}
"""Page → name of a part → the function that draws it."""


def redraw(page: str) -> str:
    """Return the page with its parts redrawn.

    Raises:
        LookupError: the page lacks the marks of a part.
    """
    text = (ROOT / page).read_text("utf-8")
    for name, draw in PARTS[page].items():
        begin, end = f"<!-- {name}: drawn by make docs -->\n", f"<!-- end of {name} -->"
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise LookupError(f"{page} lacks the marks of {name}")
        text = f"{before}{begin}\n{draw()}\n\n{end}{after}"
    return text


def tests_of(text: str) -> list[tuple[str, str]]:
    """Return file and function of each test that a text links to as `[words](FILE "FUNCTION")`."""
    return re.findall(r'\]\((?:\.\./)*(tests/[\w/]+\.py) "(test_\w+)"\)', text)


if __name__ == "__main__":
    for page in PARTS:
        (ROOT / page).write_text(redraw(page), "utf-8")
