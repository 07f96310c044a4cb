"""Every regex of the packages takes time in proportion to its text: most of them meet foreign text."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from re import _parser

import pytest

PACKAGES = ("gcode", "hal", "daemon")
ELSEWHERE = ("testing", "__main__", "plots")  # what needs more than is installed everywhere
OURS = "hal.simulated."  # what a simulated firmware reads is this host's, and no longer than a firmware's line
ANYWHERE = {"search", "finditer", "findall", "sub", "subn", "split"}
SHORT, LONG = 500, 4000
ENOUGH = 0.004  # s of CPU for the long text; a regex of these takes some 0.1 ms
ROOT = Path(__file__).parent.parent
LETTERS = 10  # of each regex, at most; it is tried with texts of them


def looked_for_anywhere(module: str) -> set[str]:
    """Return the names of a module's regexes that are looked for anywhere in a text; others match its beginning."""
    tree = ast.parse(Path(importlib.import_module(module).__file__).read_text())
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ANYWHERE]
    return {node.value.id for node in uses if isinstance(node.value, ast.Name)}


def uses() -> dict[tuple[str | bytes, int, str], str]:
    """Return each regex of our modules, how it is used, and where."""
    patterns = {}
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name.startswith(OURS) or module.name.rpartition(".")[2] in ELSEWHERE or ".testing" in module.name:
                continue
            anywhere = looked_for_anywhere(module.name)
            for name, value in vars(importlib.import_module(module.name)).items():
                for each, use in _within(value):
                    how = use or ("search" if name in anywhere else "match")
                    patterns.setdefault((each.pattern, each.flags, how), f"{module.name}.{name}")
    return patterns


def _within(value: object) -> Iterator[tuple[re.Pattern, str]]:
    if isinstance(value, re.Pattern):
        yield value, ""
    elif isinstance(value, dict | list | tuple | set | frozenset):
        for each in value.values() if isinstance(value, dict) else value:
            for inner, use in _within(each):
                yield inner, use or "search"  # one of several may be used in any way
    elif isinstance(owner := getattr(value, "__self__", None), re.Pattern):  # `re.compile(…).match`
        yield owner, "search" if value.__name__ in ANYWHERE else "match"


def letters(parsed, alphabet: dict[str, None], beginning: list[str]) -> None:
    """Collect letters that a regex looks for, and the text that it begins with."""
    for operation, value in parsed:
        match str(operation):
            case "LITERAL":
                alphabet[chr(value)] = None
                beginning.append(chr(value))
            case "IN":
                single = [each for each in value if str(each[0]) in ("LITERAL", "RANGE")]
                alphabet.update({chr(each if str(kind) == "LITERAL" else each[0]): None for kind, each in single})
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                letters(value[2], alphabet, [])
            case "SUBPATTERN":
                letters(value[3], alphabet, beginning)
            case "ATOMIC_GROUP":
                letters(value, alphabet, beginning)
            case "BRANCH":
                for each in value[1]:
                    letters(each, alphabet, [])


def texts(pattern: re.Pattern) -> Iterator[tuple[str, str]]:
    """Return the parts of long texts: a beginning, and a repeated piece."""
    alphabet: dict[str, None] = {}
    beginning: list[str] = []
    flags = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
    letters(_parser.parse(pattern.pattern, flags), alphabet, beginning)
    known = [each for each in alphabet if ord(each) < 128][:LETTERS]
    several = "".join(known[:4])
    for unit in dict.fromkeys([*known, " ", "1", "a", several, f"{several} "]):
        if unit:
            for length in {0, len(beginning) // 2, len(beginning)}:
                yield "".join(beginning[:length]), unit


def seconds(pattern: re.Pattern, use: str, beginning: str, unit: str, size: int) -> float:
    """Return the CPU time of one use, the shorter of two."""
    text = f"{beginning}{unit * (size // len(unit))}\0"
    subject = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
    best = 1.0
    for _ in range(2):
        began = time.thread_time()
        getattr(pattern, use)(subject)
        best = min(best, time.thread_time() - began)
        if best < ENOUGH:
            break
    return best


def grows_too_fast(pattern: re.Pattern, use: str) -> str | None:
    """Return a text for which a regex takes far more than eight times as long when the text is eight times as long."""
    for beginning, unit in texts(pattern):
        long = seconds(pattern, use, beginning, unit, LONG)
        if long > ENOUGH and long > 24 * max(seconds(pattern, use, beginning, unit, SHORT), 0.00002):
            return f"{beginning!r} + {unit!r} * n"
    return None


def test_every_regex_takes_linear_time():
    patterns = uses()
    assert len(patterns) > 100
    slow = {
        where: bad
        for (text, flags, use), where in patterns.items()
        if (bad := grows_too_fast(re.compile(text, flags), use))
    }
    assert slow == {}


@pytest.mark.parametrize(
    ("bad", "use"), [(r"\s+\Z", "search"), (rb"[0-9]+;", "search"), (r"a\d*\d*;", "match"), (r"(?:a|b)*+;", "search")]
)
def test_a_slow_regex_is_detected(bad, use):
    assert grows_too_fast(re.compile(bad), use) is not None


def test_no_group_is_repeated_possessively():
    """Python 3.11.0 to 3.11.4, thus Debian 12, may match too much there; `(?>(?:…)?)` means the same (gh-106052)."""
    possessive = re.compile(r"\)(?:[?*+]|\{[\d,{}]+\})\+")
    sources = [path for package in (*PACKAGES, "nozzled") for path in (ROOT / package).rglob("*.py")]
    texts = [
        node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    ]
    assert [text for text in texts if possessive.search(text)] == []
    assert possessive.search(r"(?:\.\d++)?+")
    assert possessive.search(r"(?:\s\d){1,8}+")
