"""The entry point. If an import fails, it finds out whether `gcode`, `hal` or `daemon` belong to another distribution.

python-daemon, for one, has a module `daemon`. Whichever distribution is installed last overwrites the other's files,
and breaks it. `nozzled serve` also looks if nozzled is the one that works; the units have an environment of their own.
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
    """Run the command line; if an import fails because a module is another distribution's, say so."""
    try:
        from daemon.cli import main as run  # noqa: PLC0415 - may fail

        if sys.argv[1:2] == ["serve"] and (conflicts := listed()):
            _print(f"{described(conflicts)}, which may be broken now; {ENVIRONMENT}")
        return run()  # imports more
    except KeyboardInterrupt:  # while the modules are loaded; later `run` itself ends quietly
        return 1
    except ImportError as error:
        if not (conflicts := others()) and not (conflicts := elsewhere()):
            raise
        _print(str(error))
        _print(f"{described(conflicts)}; {ENVIRONMENT}")
        return 1


def _print(message: str) -> None:
    print(f"nozzled: {message}", file=sys.stderr)  # noqa: T201 - the command


def described(conflicts: dict[str, list[str]]) -> str:
    """Return in words which of our modules belong to which other distributions."""
    return "; ".join(
        f"the module `{name}` belongs to {' and '.join(others)} as well" for name, others in conflicts.items()
    )


def others() -> dict[str, list[str]]:
    """Return the other distributions that have modules of our names, by module. Takes 0.1 s."""
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - needed only when an import has failed

    of = packages_distributions()
    return _without_us({name: of.get(name, ()) for name in PACKAGES})


def listed() -> dict[str, list[str]]:
    """Return the same in 3 ms, but only distributions that list their modules, as those built by setuptools do."""
    distributions: dict[str, list[str]] = {name: [] for name in PACKAGES}
    for folder in sys.path:
        for path in Path(folder or ".").glob(_LISTED):
            for name in distributions.keys() & set(path.read_text("utf-8", "replace").split()):
                distributions[name].append(path.parent.name.partition("-")[0].replace("_", "-"))
    return _without_us(distributions)


def elsewhere() -> dict[str, list[str]]:
    """Return the modules of our names that are found in another folder of the path, belonging to no distribution."""
    paths = {}
    for name in PACKAGES:
        for folder in sys.path:
            path = Path(folder or ".").resolve() / name
            if (path / "__init__.py").exists() or path.with_suffix(".py").exists():
                if path.parent != Path(__file__).resolve().parents[1]:
                    paths[name] = [str(path)]
                break
    return paths


def _without_us(distributions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    named = {name: sorted({each for each in of if each != "nozzled"}) for name, of in distributions.items()}
    return {name: of for name, of in named.items() if of}
