"""The tables of docs/compatibility.md, drawn from docs/features.toml."""

import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs" / "features.toml"


def _all() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(FILE.read_text("utf-8"))


def tests() -> list[tuple[str, str]]:
    """Return file and function of each test that a feature names.

    Raises:
        ValueError: a feature names no test.
    """
    named = [each.split("::") for row in _all()["works"] for each in row["tests"] or [""]]
    return [(path, name) for path, name in named]


def table() -> str:
    """Return the table of what works."""
    lines = ["| | works | shown by |", "|---|---|---|"]
    for row in _all()["works"]:
        tests = [each.split("::") for each in row["tests"]]
        links = " ".join(f'[{number}](../{path} "{name}")' for number, (path, name) in enumerate(tests, 1))
        lines.append(f"| {row['area']} | {row['what']} | {links} |")
    return "\n".join(lines)


def not_yet() -> str:
    """Return the table of what does not work yet."""
    rows = [f"| {row['what']} | {row['instead']} |" for row in _all()["not_yet"]]
    return "\n".join(["| not yet | instead |", "|---|---|", *rows])
