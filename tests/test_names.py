"""Names: no two classes of the distribution have the same one, and a constant that is a duration says so once."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLASS = re.compile(r"^ *class (\w+)[:(]", re.MULTILINE)  # a syntax tree takes 4 s for all of them

DURATION_TWICE = re.compile(r"^(_?[A-Z_]*(?:TIMEOUT|INTERVAL|DELAY|PERIOD|EVERY|RETRY|POLL)_S)\b", re.MULTILINE)

SECONDS = re.compile(  # a number whose comment or docstring begins with its unit
    r'^(_?[A-Z][A-Z0-9_]*)(?:: \w+)? = [^\n#"]*\d[^\n#"]*(?:  # s\b| *\n"""(?:s|Seconds|Maximum number of seconds)\b)',
    re.MULTILINE,
)
SAYS_SECONDS = re.compile(r"(?:^|_)(?:(?:TIMEOUT|INTERVAL|DELAY|PERIOD)S?|S)$")


def test_class_names_are_unique():
    files = defaultdict(set)
    for folder in ("gcode", "hal", "daemon", "nozzled", "systemd"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in CLASS.findall(path.read_text("utf-8")):
                files[name].add(str(path.relative_to(ROOT)))
    assert len(files) > 900, "the pattern finds too few classes"
    assert {name: sorted(paths) for name, paths in files.items() if len(paths) > 1} == {}


def test_no_constant_says_twice_that_it_is_a_duration():
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("gcode", "hal", "daemon", "systemd", "tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
        for name in DURATION_TWICE.findall(path.read_text("utf-8"))
    }
    assert DURATION_TWICE.findall("RETRY_TIMEOUT_S = 1.0") == ["RETRY_TIMEOUT_S"]
    assert found == set()


def test_each_constant_in_seconds_says_so():
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("gcode", "hal", "daemon", "nozzled", "systemd")
        for path in (ROOT / folder).rglob("*.py")
        for name in SECONDS.findall(path.read_text("utf-8"))
        if not SAYS_SECONDS.search(name)
    }
    assert SECONDS.findall('WAIT = 2.0  # s\nREST = 1\n"""Seconds of rest."""\nSIZE = 3  # bytes') == ["WAIT", "REST"]
    assert found == set()
