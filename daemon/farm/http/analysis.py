"""Analysis of an uploaded file by `nozzled inspect`, in a process of low priority and bounded memory."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from daemon.errors import NotPrintable
from daemon.farm.list.values import FileFacts

TIMEOUT = 900.0  # s for one file
MAX_MEMORY_KIB = 2 * 1024 * 1024  # of address space

SUCCESS_CODES = (0, 6)
"""Exit codes of `nozzled inspect` after an analysis: the file is good, or has faults (`options.EXIT_UNFIT`)."""

ERROR_PREFIX = "nozzled: "
"""How the last line on stderr begins if the file could not be analysed."""

MAX_WARNINGS = 20
MAX_WARNING = 300

Analyse = Callable[[Path, FileFacts, Path], Awaitable[FileFacts]]
"""Called with a file, facts about its upload, and a path for its thumbnail (PNG); returns the facts of the analysis."""

# the shell sets the limit on memory, then becomes the process
_BOUNDED = f'ulimit -v {MAX_MEMORY_KIB}; exec nice -n 5 "$@"'  # a user waits, but offers and claims go first


async def analyse(path: Path, upload_facts: FileFacts, picture: Path) -> FileFacts:
    """Add an analysis to the facts about a file; if it fails, add a warning. Each printer checks the file again.

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
        return _with_warning(upload_facts, f"the analysis took more than {TIMEOUT / 60:.0f} minutes")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = err.decode(errors="replace").strip().rpartition("\n")[2]
    if str(picture) in last and process.returncode not in SUCCESS_CODES:
        return _with_warning(upload_facts, "the analysis failed: its picture cannot be written to the farm's disk")
    if process.returncode not in SUCCESS_CODES and last.startswith(ERROR_PREFIX):
        text = last.removeprefix(ERROR_PREFIX).replace(str(path), upload_facts.name)
        raise NotPrintable(_plain(text, MAX_WARNING))
    try:
        return facts_of(await asyncio.to_thread(json.loads, out), upload_facts)
    except (ValueError, KeyError, TypeError):
        return _with_warning(upload_facts, f"the analysis failed: {last or f'it ended with {process.returncode}'}")


def facts_of(report: dict[str, Any], upload_facts: FileFacts) -> FileFacts:
    """Add the JSON of `nozzled inspect` to the facts about a file."""
    about, printing = report["about"], report["bounds"]["printing"]
    lengths = {each["tool"]: each["length_mm"] for each in report["tools"]}
    most_used = sorted((tool for tool in lengths if lengths[tool] > 0), key=lambda tool: -lengths[tool])
    filaments = [about["filaments"][tool] for tool in most_used if tool < len(about["filaments"])]
    types = dict.fromkeys(each["type"] for each in filaments if each["type"])
    hotends = [
        target for name, targets in report["temperatures"].items() if name.startswith("tool") for target in targets
    ]
    return FileFacts(
        sha256=upload_facts.sha256,
        size=upload_facts.size,
        name=upload_facts.name,
        at=upload_facts.at,
        material=_plain("; ".join(types), 64),
        colour=_plain((filaments[0]["colour"] or "") if filaments else "", 64),
        nozzle_mm=about["nozzle"] or 0.0,
        extent=_extent(printing["min"], printing["max"]) if printing else None,
        hottest=max(hotends, default=0.0),
        seconds=report["duration_s"],
        filament_mm=report["filament_mm"],
        warnings=_bounded([*report["errors"], *report["warnings"]]),
    )


def _extent(low: list[float], high: list[float]) -> tuple[float, float, float]:
    return (high[0] - low[0], high[1] - low[1], high[2])


def _with_warning(upload_facts: FileFacts, text: str) -> FileFacts:
    return msgspec.structs.replace(upload_facts, warnings=_bounded([text]))


def _bounded(texts: list[str]) -> tuple[str, ...]:
    return tuple(_plain(text, MAX_WARNING) for text in texts[:MAX_WARNINGS])


def _plain(text: str, max_length: int) -> str:
    """Return an untrusted text as one printable line."""
    return "".join(each if each.isprintable() else "?" for each in text[:max_length])
