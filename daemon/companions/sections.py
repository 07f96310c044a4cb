"""The sections of the configuration file that are companions', for whoever shows all of it."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daemon.config import load_sections, switched_on
from daemon.config.sections import COMPANIONS
from daemon.config.writing import render_section

CLASSES = {
    "farm": "farm:FarmConfig",
    "mqtt": "mqtt:MqttConfig",
    "notify": "notify:NotifyConfig",
    "power": "power:PowerConfig",
    "sensors": "power:SensorsConfig",
    "spoolman": "notify:SpoolmanConfig",
    "timelapse": "timelapse:TimelapseConfig",
}
"""Where each is described."""

_OFF = "# Not switched on. To switch it on, have this section in the file, and start nozzled-{}.service."
_UNITS = {"farm": "farm-agent"}  # what is called otherwise than its section


def default(section: str) -> Any:
    """Return a section of which the file says nothing."""
    package, _, name = CLASSES[section].partition(":")
    return getattr(importlib.import_module(f"{__package__}.{package}.config"), name)()


def render(path: Path | None, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the sections as TOML; those of a companion that is not switched on as comments.

    Raises:
        ConfigError: the file holds something that one of them does not understand.
    """
    on = switched_on(path, environ)
    for companion, sections in COMPANIONS.items():
        known = [name for name in sections if name in CLASSES]
        found = load_sections(path, environ, {name: default(name) for name in known})
        for name, section in found.items():
            text = render_section(name, section)
            if companion in on:
                yield text
            else:
                lines = [_OFF.format(_UNITS.get(companion, companion)), *(f"# {line}" for line in text.splitlines())]
                yield "\n".join(lines) + "\n"
