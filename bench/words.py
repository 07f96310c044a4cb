"""How the code reads, in figures, beside libraries of the same kind: one table, by counting alone.

Generated modules (`*_pb2.py`) are left out. A line counts as comment-only if it has nothing but a comment. It counts as
explained if it has a comment, beside code or alone, or belongs to a docstring. A function's length is from its `def`
to its end, without its docstring. A class's attributes are those that it assigns to `self` or annotates; its methods
are its functions, including properties.
"""

import argparse
import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

SUMMARY = "how the code reads: class names, comments, sizes of classes, files and functions"
ROOT = Path(__file__).parents[1]
OURS = ("gcode", "hal", "daemon")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Figures:
    """What was counted; `classes` are (name, attributes, methods)."""

    classes: list[tuple[str, int, int]] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)
    comments: int = 0
    explanations: int = 0
    files: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)

    @property
    def twice(self) -> int:
        """Class names that stand in two files."""
        return sum(count > 1 for count in self.names.values())

    @property
    def most_attributes(self) -> tuple[str, int]:
        """The class that has most."""
        return max(((name, attributes) for name, attributes, _ in self.classes), key=lambda each: each[1])

    @property
    def most_methods(self) -> tuple[str, int]:
        """The class that has most."""
        return max(((name, methods) for name, _, methods in self.classes), key=lambda each: each[1])

    @property
    def p99(self) -> int:
        """Lines that 99 of 100 functions do not exceed."""
        return sorted(self.functions)[len(self.functions) * 99 // 100]

    @property
    def commented(self) -> float:
        """Comment-only lines, in % of all."""
        return 100 * self.comments / sum(self.files)

    @property
    def explained(self) -> float:
        """Lines with a comment or of a docstring, in % of all."""
        return 100 * self.explanations / sum(self.files)


@dataclass(frozen=True)
class Peer:
    """A library, as this script counted it."""

    name: str
    twice: int
    classes: int
    commented: float
    explained: float
    most_attributes: int
    most_methods: int
    file: float
    function: float
    p99: int


PEERS = (
    Peer("h11 0.16.0", 0, 38, 26.2, 40.9, 11, 22, 153, 6, 58),
    Peer("aioesphomeapi 46.23.0", 0, 235, 6.0, 16.4, 30, 116, 161.5, 8, 66),
    Peer("bleak 3.1.0", 1, 104, 4.3, 20.0, 24, 30, 143, 9, 130),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and show."""
    parser = argparse.ArgumentParser(
        prog="python -m bench words", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="packages to count instead of gcode, hal and daemon")
    parser.add_argument("--largest", type=int, default=0, metavar="N", help="name the N largest classes too")
    args = parser.parse_args(arguments)
    folders = args.folders or [ROOT / each for each in OURS]
    figures = count(path for folder in folders for path in sorted(folder.rglob("*.py")))
    show(figures, ", ".join(each.name for each in folders))
    for name, attributes, methods in sorted(figures.classes, key=lambda each: -max(each[1:]))[: args.largest]:
        sys.stdout.write(f"{name:<26} {attributes:>3} attributes, {methods:>3} methods\n")
    return 0


def count(paths: Iterable[Path]) -> Figures:
    """Return the figures of these modules."""
    figures = Figures()
    for path in paths:
        if not path.stem.endswith("_pb2"):
            _count(figures, path.read_text("utf-8"))
    return figures


def _count(figures: Figures, text: str) -> None:
    figures.files.append(text.count("\n"))
    comments = [each for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.type == tokenize.COMMENT]
    figures.comments += sum(not each.line[: each.start[1]].strip() for each in comments)
    explained = {each.start[0] for each in comments}
    tree = ast.parse(text)
    names = set()
    for node in ast.walk(tree):
        explained.update(_docstring(node))
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            methods = [each for each in node.body if isinstance(each, Function)]
            figures.classes.append((node.name, len(set(_attributes(node))), len(methods)))
        elif isinstance(node, Function):
            figures.functions.append(_length(node))
    figures.names.update(names)
    figures.explanations += len(explained)


def _docstring(node: ast.AST) -> range:
    """Return the numbers of the lines that a string of its own takes, as docstrings do."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return range(0)


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id
    for each in ast.walk(node):
        match each:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def _length(function: Function) -> int:
    first, end = function.body[0], function.end_lineno or function.lineno
    if ast.get_docstring(function, clean=False) is not None:
        return end - function.lineno + 1 - ((first.end_lineno or first.lineno) - first.lineno + 1)
    return end - function.lineno + 1


def show(figures: Figures, name: str) -> None:
    """Write the table; after each peer's figure comes the ratio of ours to it."""
    (richest, attributes), (longest, methods) = figures.most_attributes, figures.most_methods
    file, function = median(figures.files), median(figures.functions)
    rows: tuple[tuple[str, str, Callable[[Peer], str]], ...] = (
        (
            "class names in two files",
            f"{figures.twice} of {len(figures.names)}",
            lambda peer: f"{peer.twice} of {peer.classes}",
        ),
        (
            "comment-only lines, %",
            f"{figures.commented:.1f}",
            lambda peer: _beside(figures.commented, peer.commented),
        ),
        (
            "explained lines, %",
            f"{figures.explained:.1f}",
            lambda peer: _beside(figures.explained, peer.explained),
        ),
        (
            "most attributes of a class",
            f"{attributes} ({richest})",
            lambda peer: _beside(attributes, peer.most_attributes),
        ),
        ("most methods of a class", f"{methods} ({longest})", lambda peer: _beside(methods, peer.most_methods)),
        ("median file, lines", f"{file:g}", lambda peer: _beside(file, peer.file)),
        ("median function, lines", f"{function:g}", lambda peer: _beside(function, peer.function)),
        ("p99 of functions, lines", f"{figures.p99}", lambda peer: _beside(figures.p99, peer.p99)),
    )
    width = max(26, len(name) + 2)
    sys.stdout.write(f"{'':<28}{name:<{width}}{''.join(f'{peer.name:<26}' for peer in PEERS)}\n")
    for what, ours, theirs in rows:
        sys.stdout.write(f"{what:<28}{ours:<{width}}{''.join(f'{theirs(peer):<26}' for peer in PEERS)}\n")


def _beside(ours: float, theirs: float) -> str:
    return f"{theirs:g} ({ours / theirs:.2g} times)"


if __name__ == "__main__":
    sys.exit(main())
