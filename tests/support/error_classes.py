"""The errors that modules define for themselves, drawn from the code for docs/architecture.md."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = ("gcode/errors.py", "hal/errors.py", "daemon/errors.py", "daemon/client/errors.py")
"""Modules whose docstrings draw the trunk of the tree."""


def _bases() -> dict[str, tuple[str, list[str]]]:
    """Return module and base classes of each class; names are unique (tests/test_names.py)."""
    return {
        node.name: (path.relative_to(ROOT).as_posix(), [ast.unparse(base).rpartition(".")[2] for base in node.bases])
        for package in ("gcode", "hal", "daemon")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    }


def table() -> str:
    """Return a table of the modules outside `TREES` that define errors, each with its base class."""
    classes = _bases()

    errors = {"NozzledError"}
    while more := {name for name, (_, bases) in classes.items() if errors & set(bases)} - errors:
        errors |= more
    rows: dict[str, list[str]] = defaultdict(list)
    for name, (module, bases) in classes.items():
        if module not in TREES and name in errors:
            rows[module].append(f"`{name}` ({next(base for base in bases if base in errors)})")
    lines = [f"| `{module}` | {', '.join(names)} |" for module, names in sorted(rows.items())]
    return "\n".join(["| module | errors (base class) |", "|---|---|", *lines])
