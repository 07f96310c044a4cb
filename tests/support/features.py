"""What works and what does not, by docs/features.toml: in short for README.md, with tests for docs/compatibility.md."""

import re
import tomllib
from itertools import groupby
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs" / "features.toml"


def _all() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(FILE.read_text("utf-8"))


def tests() -> list[tuple[str, str]]:
    """Return file and function of each test that a feature names; each has one at least."""
    found = [(row["what"], *each.split("::")) for row in _all()["works"] for each in row["tests"] or [""]]
    return [(path, name) for _, path, name in found]


def in_short() -> str:
    """Return the tables of README.md."""
    lines = ["| | works |", "|---|---|"]
    for area, rows in groupby(_all()["works"], key=lambda row: str(row["area"])):
        lines.append(f"| {area} | {'; '.join(row['brief'] for row in rows if 'brief' in row)} |")
    lines += ["", "| not yet | instead |", "|---|---|"]
    lines += [f"| {_from_root(row['what'])} | {_from_root(row['instead'])} |" for row in _all()["not_yet"]]
    return "\n".join(lines)


def table() -> str:
    """Return the first table of docs/compatibility.md."""
    lines = ["| | works | shown by |", "|---|---|---|"]
    for row in _all()["works"]:
        tests = [each.split("::") for each in row["tests"]]
        links = " ".join(f'[{number}](../{path} "{name}")' for number, (path, name) in enumerate(tests, 1))
        lines.append(f"| {row['area']} | {row['what']} | {links} |")
    return "\n".join(lines)


def not_yet() -> str:
    """Return its second table."""
    rows = [f"| {row['what']} | {row['instead']} |" for row in _all()["not_yet"]]
    return "\n".join(["| not yet | instead |", "|---|---|", *rows])


def _from_root(text: str) -> str:
    """Return a text with links of docs/ as they are beside README.md."""
    return re.sub(r"\]\((?!\w+:)", "](docs/", text)
