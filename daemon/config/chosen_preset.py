"""The preset that was chosen over the API: kept in the state directory, for where the configuration says nothing."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from daemon.config import Config, ProfileConfig
from daemon.errors import ConfigError
from daemon.set_aside import make_way

if TYPE_CHECKING:
    from daemon.config.presets import Preset

FILE = "preset"

log = structlog.get_logger()


def with_chosen(config: Config, folder: Path) -> Config:
    """Return the configuration with the preset that was chosen; blocks. What the file says of the printer wins."""
    if config.profile != ProfileConfig():
        return config
    make_way(folder / FILE, "the printer's size is not known", os.R_OK)
    try:
        name = (folder / FILE).read_text("utf-8").strip()
        from daemon.config.presets import find  # noqa: PLC0415 - most have chosen none

        return replace(config, profile=find(name).profile) if name else config
    except FileNotFoundError:
        return config
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        log.warning("preset.unreadable", reason=str(error), consequence="the printer's size is not known")
        return config


def keep(preset: "Preset | None", folder: Path) -> None:
    """Keep the choice for the next start; None: none. Blocks; raises OSError."""
    path = folder / FILE
    if preset is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(f"{preset.id}\n", "utf-8")
