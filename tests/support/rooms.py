"""The picture of the rooms in docs/architecture.md, with an arrow where one imports another."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("nozzled", "gcode", "hal", "daemon")

GROUPS = {
    "services": ("app", "core", "front", "bridge", "http"),
    "programs that speak HTTP": ("companions", "farm", "client"),
    "on demand": ("cli", "tools"),
    "printers": ("testing", "simulated", "hal"),
    "the language": ("analysis", "gcode"),
}
"""Groups of rooms, as they are drawn; `common` stands alone."""

ROOMS = {
    "daemon": "common",
    "daemon.__main__": "cli",
    "daemon.app": "app",
    "daemon.bridge": "bridge",
    "daemon.cli": "cli",
    "daemon.client": "client",
    "daemon.companions": "companions",
    "daemon.core": "core",
    "daemon.doctor": "tools",
    "daemon.farm": "farm",
    "daemon.front": "front",
    "daemon.http": "http",
    "daemon.moving": "tools",
    "daemon.report": "tools",
    "daemon.simulation": "tools",
    "gcode": "gcode",
    "gcode.analysis": "analysis",
    "hal": "hal",
    "hal.simulated": "simulated",
    "hal.testing": "testing",
    "nozzled": "cli",
}
"""Module or package → its room; the longest name counts."""

SIGNS = {
    "app": "app: both in one process, for tests",
    "core": "core: owns the printer",
    "front": "front: HTTP, push, the page",
    "bridge": "bridge: what core and front say",
    "http": "http: what both HTTP servers share",
    "companions": "companions: power, timelapse, notify, mqtt",
    "farm": "farm: many printers",
    "client": "client: for programs",
    "cli": "cli: the commands",
    "tools": "doctor, moving, report, simulation",
    "testing": "hal.testing: pytest plugin, labgrid",
    "simulated": "hal.simulated: the firmware's end",
    "hal": "hal: driver, ports, replay",
    "analysis": "gcode.analysis: whole files",
    "gcode": "gcode: bytes in, bytes out",
    "common": "common: config, log, systemd, errors, …",
}

_IMPORT = re.compile(
    rf"^ *(?:from|import) ((?:{'|'.join(PACKAGES)})(?:\.\w+)*)(?: import (\([^)]*\)|[^\n#]*))?", re.MULTILINE
)
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:.*\n(?:(?: .*)?\n)*", re.MULTILINE)


def draw() -> str:
    """Return the picture as mermaid text. An arrow that follows from others is left out."""
    lines = ["```mermaid", "flowchart TD"]
    for group, rooms in GROUPS.items():
        signs = [f'        {room}["{SIGNS[room]}"]' for room in rooms]
        lines += [f'    subgraph in_{rooms[0]}["{group}"]', *signs, "    end"]
    lines.append(f'    common["{SIGNS["common"]}"]')
    arrows = _imports()
    mutual = {(room, other) for room in arrows for other in arrows[room] if room in arrows[other]}
    arrows = {room: {other for other in arrows[room] if (room, other) not in mutual} for room in SIGNS}
    lines += [
        f"    {room} <--> {other}" for room in SIGNS for other in SIGNS if room < other and (room, other) in mutual
    ]
    lines += [f"    {room} --> {other}" for room in SIGNS for other in SIGNS if other in _direct(arrows, room)]
    return "\n".join([*lines, "```"])


def _direct(arrows: dict[str, set[str]], room: str) -> set[str]:
    """Return the rooms that this one imports, without those that another of them leads to."""
    return {
        other for other in arrows[room] if not any(other in _reached(arrows, via) for via in arrows[room] - {other})
    }


def _reached(arrows: dict[str, set[str]], room: str) -> set[str]:
    reached, pending = set[str](), [room]
    while pending:
        new = arrows[pending.pop()] - reached
        reached |= new
        pending += new
    return reached


@cache
def _imports() -> dict[str, set[str]]:
    imports = defaultdict[str, set[str]](set)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            room = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
            imports[room] |= {_room(name) for name in _imported(path.read_text("utf-8"))} - {room}
    return imports


def _room(module: str) -> str:
    while module not in ROOMS:
        module = module.rpartition(".")[0]
    return ROOMS[module]


def _imported(text: str) -> Iterator[str]:
    """Yield the modules of ours that are imported, at the start or later, but not those that only types need."""
    for module, names in _IMPORT.findall(_FOR_TYPES.sub("", text)):
        yield module
        yield from (f"{module}.{name.partition(' as ')[0].strip()}" for name in names.strip("()").split(","))
