"""Names: no two classes of the distribution have the same one."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLASS = re.compile(r"^ *class (\w+)[:(]", re.MULTILINE)  # a syntax tree takes 4 s for all of them


def test_class_names_are_unique():
    files = defaultdict(set)
    for folder in ("gcode", "hal", "daemon", "nozzled", "systemd"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in CLASS.findall(path.read_text("utf-8")):
                files[name].add(str(path.relative_to(ROOT)))
    assert len(files) > 900, "the pattern finds too few classes"
    assert {name: sorted(paths) for name, paths in files.items() if len(paths) > 1} == {}
