"""The recorded dialogues with real firmware in `tests/data/transcripts`."""

import ast
import re
from pathlib import Path

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "transcripts"
_ENTRY = re.compile(r" *(\d+\.\d+) (->|<-) ?(.*)")


def experiments(name):
    """Return the experiments of a recording: [(title, [(whether the host sent it, text, seconds)])]."""
    experiments = [("", [])]
    for line in (TRANSCRIPTS / name).read_text().splitlines():
        if line.startswith("### "):
            experiments.append((line[4:], []))
        elif match := _ENTRY.match(line):
            experiments[-1][1].append((match[2] == "->", match[3], float(match[1])))
    return [each for each in experiments if each[1]]


def to_bytes(text):
    """Return the bytes on the wire of a text."""
    return ast.literal_eval(text) if text.startswith(("b'", 'b"')) else text.encode() + b"\n"
