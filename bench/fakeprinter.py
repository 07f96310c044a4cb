"""The neutral printer: `fakeprinter.c`, compiled when it is first needed, one process a print."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.processes import stop

SOURCE = Path(__file__).with_name("fakeprinter.c")


class NoCompiler(Exception):
    """There is no C compiler to build the fake printer with."""


def build(folder: Path) -> Path:
    """Return the compiled fake printer, built into the folder unless this very source is there already.

    Raises:
        NoCompiler: there is no cc.
    """
    binary = folder / f"fakeprinter-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if binary.exists():
        return binary
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler("the fake printer is C: install a compiler that is called cc (gcc or clang)")
    new = binary.with_suffix(".new")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", new, SOURCE, "-lm"], check=True)
    new.replace(binary)
    return binary


class FakePrinter:
    """A running fake printer; its port is `link`."""

    def __init__(self, binary: Path, link: Path, options: list[str]) -> None:
        """Start it.

        Args:
            binary: from `build`.
            link: where the port shall appear; its folder is made.
            options: as `fakeprinter.c` explains them.
        """
        self.link = link
        self._stats = link.with_suffix(".json")
        link.parent.mkdir(parents=True, exist_ok=True)
        self._stats.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [binary, "--link", link, "--stats", self._stats, *options], stdout=subprocess.PIPE
        )
        if self._process.stdout is None or not self._process.stdout.readline():
            raise RuntimeError("the fake printer did not start")

    def stop(self) -> dict[str, Any]:
        """End it, harmless when it has ended; return its statistics."""
        stop(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
        stats: dict[str, Any] = json.loads(self._stats.read_text())
        return stats
