"""Analysis of an uploaded file by `nozzled inspect`, in a process of low priority and bounded memory."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from daemon.errors import NotPrintable
from daemon.farm.list.words import FileFacts

TIMEOUT = 900.0  # s for one file
MAX_MEMORY_KIB = 2 * 1024 * 1024  # of address space

ANALYSED = (0, 6)
"""Exit codes of `nozzled inspect` after an analysis: the file is good, or has faults (`daemon.cli.options.UNFIT`)."""

ERROR_PREFIX = "nozzled: "
"""Begins the last line on stderr if the file could not be analysed."""

MAX_WARNINGS = 20
MAX_WARNING = 300

Look = Callable[[Path, FileFacts, Path], Awaitable[FileFacts]]
"""Called with a file, its known facts, and a path for its thumbnail (PNG); returns the facts with the analysis."""

# the shell sets the limit before the process starts
_BOUNDED = f'ulimit -v {MAX_MEMORY_KIB}; exec nice -n 19 "$@"'


async def look(path: Path, known: FileFacts, picture: Path) -> FileFacts:
    """Return the facts about a file with its analysis; a failed analysis is a warning: each printer checks again.

    Raises:
        NotPrintable: the file is not G-code.
    """
    inspect = (sys.executable, "-m", "daemon", "inspect", "--json", "--thumbnail", str(picture))
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", _BOUNDED, "sh", *inspect, "--config", os.devnull, str(path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(TIMEOUT):
            out, err = await process.communicate()
    except TimeoutError:
        return _unknown(known, f"the analysis took more than {TIMEOUT / 60:.0f} minutes")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    if process.returncode not in ANALYSED and last.startswith(ERROR_PREFIX):
        text = last.removeprefix(ERROR_PREFIX).replace(str(path), known.name)
        raise NotPrintable(_plain(text, MAX_WARNING))
    try:
        return facts_of(await asyncio.to_thread(json.loads, out), known)
    except (ValueError, KeyError, TypeError):
        return _unknown(known, f"the analysis failed: {last or f'it ended with {process.returncode}'}")


def facts_of(found: dict[str, Any], known: FileFacts) -> FileFacts:
    """Add the JSON of `nozzled inspect` to the facts about a file."""
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


def _plain(text: str, max_length: int) -> str:
    """Return an untrusted text as one printable line."""
    return "".join(each if each.isprintable() else "?" for each in text[:max_length])
