"""The blocks of commands in our pages.

tests/test_commands.py runs each block, unless the line before it has one of these marks:

    <!-- not run: REASON -->                  no test runs it: it changes this machine, or needs a network or hardware
    <!-- run by: tests/FILE.py::test_name --> this test runs it
    <!-- run in the box -->                   tests/systemd/test_commands.py runs it on a real systemd, at night
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
    """`not run`, `run by`, `run in the box`, or nothing."""
    because: str
    """The reason of `not run`, or the test of `run by`."""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """Return all blocks, page by page."""
    results = []
    for path in PAGES:
        text = path.read_text("utf-8")
        for match in _BLOCK.finditer(text):
            mark = _MARK.search(match["mark"] or "")
            lines = [line.removeprefix(match["indent"]) for line in match["body"].splitlines()]
            if match["kind"] == "console":  # only the typed lines, not their output
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            results.append(
                Block(
                    page=str(path.relative_to(ROOT)),
                    line=text.count("\n", 0, match.start("body")),
                    script="\n".join(lines) + "\n",
                    mark=mark[1] if mark else "",
                    because=(mark[2] or "") if mark else "",
                )
            )
    return results
