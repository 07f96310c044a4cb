"""The files that are printed, the same on every run and machine, and the hash that an intact print has.

A vase-like print: a wavy wall, 0.2 mm layers, segments of 0.2 to 0.5 mm at F6000 (100 mm/s), with the comments
that a slicer leaves between the moves. It needs 256 lines/s.
"""

import hashlib
import math
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import xor
from pathlib import Path

RADIUS, CENTRE = 25.0, 110.0  # mm
LAYER = 0.2  # mm
FILAMENT = 0.033  # mm of filament for each mm of wall


@dataclass(frozen=True, slots=True)
class PrintFile:
    """A file on disk, and the fake printer's report if it arrives intact."""

    path: Path
    job_lines: int  # commands that start with G or T
    sha256: str
    plain_bytes: float  # average of these lines, numbered from 1 and otherwise as in the file


def vase(moves: int) -> Iterator[str]:
    """Yield the lines of a print with this many extruding moves; 39 bytes a line on the wire."""
    rnd = random.Random(1)
    yield ";FLAVOR:Marlin"
    yield ";Generated for the host benchmark"
    yield from ("M82 ; absolute E", "G21", "G90", "M107", "G92 E0", "G1 F6000")
    layer, angle, e = 0, 0.0, 0.0
    x, y = CENTRE + RADIUS, CENTRE
    yield ";LAYER:0"
    yield f"G1 X{x:.3f} Y{y:.3f} Z0.200 F6000"
    for _ in range(moves):
        angle += rnd.uniform(0.2, 0.5) / RADIUS
        if angle >= 2 * math.pi:
            angle -= 2 * math.pi
            layer += 1
            yield f";LAYER:{layer}"
            yield ";TYPE:WALL-OUTER"
            yield f"G1 Z{LAYER + LAYER * layer:.3f} F6000"
        radius = RADIUS + 0.8 * math.sin(8 * angle + layer / 10)
        nx, ny = CENTRE + radius * math.cos(angle), CENTRE + radius * math.sin(angle)
        e += math.hypot(nx - x, ny - y) * FILAMENT
        x, y = nx, ny
        yield f"G1 X{x:.3f} Y{y:.3f} E{e:.5f}"
    yield "M107"
    yield ";End of Gcode"


def forties(moves: int) -> Iterator[str]:
    """Yield moves of 40 or 41 bytes on the wire each, from line number 1000 on."""
    for index in range(moves):
        yield f"G1 X{100 + index * 0.317 % 97:.3f} Y{100 + index * 0.219 % 89:.3f} E{10 + index * 0.0107:.5f}"


def zeros(moves: int) -> Iterator[str]:
    """Yield moves with all decimals, as some slicers write them: many end in zeros."""
    for index in range(moves):
        x, y = 100 + index * 3 % 970 / 10, 100 + index * 7 % 890 / 10
        yield f"G1 X{x:.3f} Y{y:.3f} E{0.01 + index % 90 / 1000:.5f} F{1800 + index % 7 * 100:.3f}"


def brisk(moves: int) -> Iterator[str]:
    """Yield the vase at a speed that needs 400 lines/s."""
    return (line.replace("F6000", "F9375") for line in vase(moves))


def job_hash(lines: Iterable[str]) -> tuple[int, str]:
    """Return the number of job lines and the hash over their meaning, as counted by the fake printer."""
    sha, count = hashlib.sha256(), 0
    for command in _jobs(lines):
        sha.update(canonical(command).encode() + b"\n")
        count += 1
    return count, sha.hexdigest()


def plain_bytes(lines: Iterable[str]) -> float:
    """Return the average bytes of a line: numbered from 1 on, and as in the file."""
    numbered = [f"N{count} {command}".encode() for count, command in enumerate(_jobs(lines), 1)]
    return sum(len(b"%s*%d\n" % (line, reduce(xor, line))) for line in numbered) / max(1, len(numbered))


def _jobs(lines: Iterable[str]) -> Iterator[str]:
    commands = (raw.split(";", 1)[0].strip() for raw in lines)
    return (command for command in commands if command[:1] in ("G", "T"))


def canonical(command: str) -> str:
    """Return a command without blanks and zeros that mean nothing: hosts may leave them out."""
    return re.sub(r"[+-]?(?:\d+\.?\d*|\.\d+)", lambda match: _plain(match[0]), re.sub(r"\s", "", command))


def _plain(number: str) -> str:
    value = Decimal(number)
    return f"{value.normalize():f}" if value else "0"


def write(folder: Path, kind: str, moves: int) -> PrintFile:
    """Write the print of this kind, `vase`, `brisk`, `forties` or `zeros`, into a folder."""
    lines = list({"vase": vase, "brisk": brisk, "forties": forties, "zeros": zeros}[kind](moves))
    path = folder / f"{kind}-{moves}.gcode"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    return PrintFile(path, *job_hash(lines), plain_bytes(lines))
