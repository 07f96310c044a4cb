"""What is in a file: found out by `nozzled inspect`, in a process that takes what nobody else wants."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from daemon.errors import NotPrintable
from daemon.farm.list.words import FileFacts

PATIENCE = 900.0
"""Seconds for one file."""

MAX_MEMORY_KIB = 2 * 1024 * 1024
"""Of address space."""

SHOWN = (0, 6)
"""Exit codes with which it has looked into the file: all is well, or something is wrong with it."""

SAYS = "nozzled: "
"""How the last line begins where a file cannot be looked into at all."""

MAX_WARNINGS = 20
MAX_WARNING = 300

Look = Callable[[Path, FileFacts, Path], Awaitable[FileFacts]]
"""Takes a file, what is known of it, and where its picture (PNG) is to be; returns what is known then."""

# the shell sets the bound that the process has from its first moment on
_BOUNDED = f'ulimit -v {MAX_MEMORY_KIB}; exec nice -n 19 "$@"'


async def look(path: Path, known: FileFacts, picture: Path) -> FileFacts:
    """Return what the analysis finds; what it cannot find is a warning, and the printers' own checks decide.

    Raises:
        NotPrintable: it is no G-code.
    """
    inspect = (sys.executable, "-m", "daemon", "inspect", "--json", "--thumbnail", str(picture))
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", _BOUNDED, "sh", *inspect, "--config", os.devnull, str(path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        return _unknown(known, f"the analysis took more than {PATIENCE / 60:.0f} minutes")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    if process.returncode not in SHOWN and last.startswith(SAYS):
        text = last.removeprefix(SAYS).replace(str(path), known.name)
        raise NotPrintable(_plain(text, MAX_WARNING))
    try:
        found = await asyncio.to_thread(json.loads, out)
        return facts_of(found, known)
    except (ValueError, KeyError, TypeError):
        return _unknown(known, f"the analysis failed: {last or f'it ended with {process.returncode}'}")


def facts_of(found: dict[str, Any], known: FileFacts) -> FileFacts:
    """Return what the JSON of `nozzled inspect` says of a file."""
    about, printing = found["about"], found["bounds"]["printing"]
    used = {each["tool"]: each["length_mm"] for each in found["tools"]}
    order = sorted((tool for tool in used if used[tool] > 0), key=lambda tool: -used[tool])
    filaments = [about["filaments"][tool] for tool in order if tool < len(about["filaments"])]
    types = dict.fromkeys(each["type"] for each in filaments if each["type"])
    hotends = [
        target for name, targets in found["temperatures"].items() if name.startswith("tool") for target in targets
    ]
    return FileFacts(
        sha256=known.sha256,
        size=known.size,
        name=known.name,
        at=known.at,
        material=_plain("; ".join(types), 64),
        colour=_plain((filaments[0]["colour"] or "") if filaments else "", 64),
        nozzle_mm=about["nozzle"] or 0.0,
        extent=_extent(printing["min"], printing["max"]) if printing else None,
        hottest=max(hotends, default=0.0),
        seconds=found["duration_s"],
        filament_mm=found["filament_mm"],
        warnings=_bounded([*found["errors"], *found["warnings"]]),
    )


def _extent(low: list[float], high: list[float]) -> tuple[float, float, float]:
    return (high[0] - low[0], high[1] - low[1], high[2])


def _unknown(known: FileFacts, why: str) -> FileFacts:
    return FileFacts(sha256=known.sha256, size=known.size, name=known.name, at=known.at, warnings=_bounded([why]))


def _bounded(texts: list[str]) -> tuple[str, ...]:
    return tuple(_plain(text, MAX_WARNING) for text in texts[:MAX_WARNINGS])


def _plain(text: str, longest: int) -> str:
    """Return a stranger's text as one line of what can be shown."""
    return "".join(each if each.isprintable() else "?" for each in text[:longest])
