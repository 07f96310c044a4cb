"""The port that was chosen over the API, in the state directory; it is used if the configuration names no printer."""

import os
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.config import Config
from daemon.set_aside import make_way

FILE = "printer"
MAX_ADDRESS = 1000  # characters
CONSEQUENCE = "no printer is connected until a client connects one"

log = structlog.get_logger()


def with_chosen_port(config: Config, folder: Path) -> Config:
    """Return the configuration with the chosen port, unless the configuration file names a printer. Blocks."""
    if config.printer.address:
        return config
    make_way(folder / FILE, CONSEQUENCE, os.R_OK)
    try:
        with (folder / FILE).open(encoding="utf-8") as file:
            address = file.read(MAX_ADDRESS).strip()
        from hal.errors import AddressError  # noqa: PLC0415 - most users have chosen none
        from hal.registry import check  # noqa: PLC0415

        try:
            usable = check(address).scheme == "serial"
        except AddressError:
            usable = False
        if not usable:
            log.warning("printer.choice_unusable", address=address[:100], consequence=CONSEQUENCE)
            return config
        return replace(config, printer=replace(config.printer, address=address))
    except FileNotFoundError:
        return config
    except (OSError, UnicodeDecodeError) as error:
        log.warning("printer.choice_unreadable", reason=str(error), consequence=CONSEQUENCE)
        return config


def save(address: str, folder: Path) -> None:
    """Save the choice for the next start. Blocks; raises OSError."""
    path = folder / FILE
    new = path.with_suffix(".new")
    new.write_text(f"{address}\n", "utf-8")
    new.replace(path)
