"""The way in. It finds out whether `gcode`, `hal` and `daemon` are ours: other distributions have such modules too.

python-daemon, for one, has a `daemon`. Whatever is installed last overwrites the other's files, and breaks it.
Nothing is looked for while all goes well: a start costs no look at what is installed.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = ("gcode", "hal", "daemon")
ENVIRONMENT = (
    "install nozzled into an environment of its own: python3 -m venv nozzled && nozzled/bin/pip install nozzled"
)
_LISTED = "*-info/top_level.txt"


def main() -> int:
    """Run the command line; say so where its modules are somebody else's."""
    try:
        from daemon.cli import main as run  # noqa: PLC0415 - what may go wrong is told

        return run()  # which imports more
    except ImportError as error:
        if not (found := others()) and not (found := elsewhere()):
            raise
        print(f"nozzled: {error}\nnozzled: {told(found)}; {ENVIRONMENT}", file=sys.stderr)  # noqa: T201 - the command
        return 1


def told(found: dict[str, list[str]]) -> str:
    """Return in words which of our modules are whose."""
    return "; ".join(f"the module `{name}` belongs to {' and '.join(whose)} as well" for name, whose in found.items())


def others() -> dict[str, list[str]]:
    """Return which other distributions have modules of our names. Reads what is installed, which takes 0.1 s."""
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - where something is wrong alone

    of = packages_distributions()
    return _without_us({name: of.get(name, ()) for name in PACKAGES})


def listed() -> dict[str, list[str]]:
    """Return the same in 3 ms, but only of distributions that list their modules, as those of setuptools do."""
    found: dict[str, list[str]] = {name: [] for name in PACKAGES}
    for folder in sys.path:
        for path in Path(folder or ".").glob(_LISTED):
            for name in found.keys() & set(path.read_text("utf-8", "replace").split()):
                found[name].append(path.parent.name.partition("-")[0].replace("_", "-"))
    return _without_us(found)


def elsewhere() -> dict[str, list[str]]:
    """Return the modules of our names that are not beside this one: a folder on the way, and no distribution."""
    found = {}
    for name in PACKAGES:
        for folder in sys.path:
            path = Path(folder or ".").resolve() / name
            if (path / "__init__.py").exists() or path.with_suffix(".py").exists():
                if path.parent != Path(__file__).resolve().parents[1]:
                    found[name] = [str(path)]
                break
    return found


def _without_us(found: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    named = {name: sorted({each for each in of if each != "nozzled"}) for name, of in found.items()}
    return {name: of for name, of in named.items() if of}
