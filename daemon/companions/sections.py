"""The companions' sections of the configuration file, for `nozzled config`."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daemon.config import load_sections, switched_on
from daemon.config.sections import COMPANIONS, unit_of
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
"""Section → package and class that describe it."""

_OFF = "# Not switched on. To switch it on, add this section to the file and start {}.service."


def make_default(section: str) -> Any:
    """Return a section with its defaults."""
    package, _, name = CLASSES[section].partition(":")
    return getattr(importlib.import_module(f"{__package__}.{package}.config"), name)()


def render(path: Path | None, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the sections as TOML, as comments if their companion is not switched on.

    Raises:
        ConfigError: a section has an unknown key or a wrong value.
    """
    on = switched_on(path, environ)
    for companion, sections in COMPANIONS.items():
        names = [name for name in sections if name in CLASSES]
        loaded = load_sections(path, environ, {name: make_default(name) for name in names})
        for name, section in loaded.items():
            text = render_section(name, section)
            if companion in on:
                yield text
            else:
                lines = [_OFF.format(unit_of(companion)), *(f"# {line}" for line in text.splitlines())]
                yield "\n".join(lines) + "\n"
