"""The recorded dialogues with real firmware in `tests/data/transcripts`."""

import ast
import re
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "data" / "transcripts"
_ENTRY = re.compile(r" *(\d+\.\d+) (->|<-) ?(.*)")


def experiments(name):
    """Return [(title, [(whether the host sent it, text, seconds)])] of a recording."""
    found = [("", [])]
    for line in (_FOLDER / name).read_text().splitlines():
        if line.startswith("### "):
            found.append((line[4:], []))
        elif match := _ENTRY.match(line):
            found[-1][1].append((match[2] == "->", match[3], float(match[1])))
    return [each for each in found if each[1]]


def to_bytes(text):
    """Return what went over the wire."""
    return ast.literal_eval(text) if text.startswith(("b'", 'b"')) else text.encode() + b"\n"
