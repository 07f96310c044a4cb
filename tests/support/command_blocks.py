"""The blocks of commands in our pages; a mark says that one is not run by the test of commands, and why.

    <!-- not run: REASON -->                 it changes this machine, or needs a network or hardware
    <!-- run by: tests/FILE.py::test_name --> another test runs it
    <!-- run in the box -->                  on a real systemd, at night

stands on the line before such a block.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/README.md"])

_BLOCK = re.compile(
    r"^(?P<mark> *<!--[^\n]*-->\n)?^(?P<indent> *)```(?P<kind>sh|console)\n(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- (not run|run by|run in the box)(?:: (.*))? -->")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    script: str
    mark: str
    """Why or where it is not run here: `not run`, `run by`, `run in the box`, or nothing."""
    because: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """Return all of them, page by page."""
    found = []
    for path in PAGES:
        text = path.read_text("utf-8")
        for match in _BLOCK.finditer(text):
            mark = _MARK.search(match["mark"] or "")
            lines = [line.removeprefix(match["indent"]) for line in match["body"].splitlines()]
            if match["kind"] == "console":  # what is typed; the rest is what is shown
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            found.append(
                Block(
                    page=str(path.relative_to(ROOT)),
                    line=text.count("\n", 0, match.start("body")),
                    script="\n".join(lines) + "\n",
                    mark=mark[1] if mark else "",
                    because=(mark[2] or "") if mark else "",
                )
            )
    return found
