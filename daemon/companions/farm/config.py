"""The section `[farm]` of a printer's configuration. The printer's seed is in a file of its own."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from daemon.config import load_sections
from daemon.config.home import expand_home
from daemon.config.options import option
from daemon.errors import ConfigError
from daemon.farm.messages import PRINTER_ID, Tool
from gcode.frozen import frozen

CREDENTIAL = "nozzled.farm-seed"
NO_SEED = "#"  # the unit's credential if no seed is set
MAX_TOOLS = 16


@frozen
class FarmTool:
    """Filament and nozzle of a tool."""

    material: str = option("", "Material that is loaded, such as PLA; empty: from Spoolman.")
    colour: str = option("", "Its colour, as the farm's jobs name it; empty: from Spoolman.")
    nozzle_mm: float = option(0.0, "Diameter of the nozzle, in mm; 0: from the printer profile.", low=0, high=10)


@frozen
class FarmConfig:
    """The farm that this printer prints for; `nozzled farm agent` takes its offers."""

    id: str = option("", "The printer's id in the farm: 1 to 32 characters of a-z, 0-9 and -.")
    servers: tuple[str, ...] = option((), "Addresses of the farm's NATS servers, such as tls://farm.local:4222.")
    ca_file: str = option("", "CA certificate to check the servers' certificates with.")
    seed_file: str = option(
        "",
        "File with the printer's NKey seed (chmod 600), as `nozzled farm join` writes it; the unit passes it as the "
        "credential nozzled.farm-seed.",
    )
    group: str = option("", "Group of printers that this one belongs to.")
    url: str = option("", "Address of the printer's page, for users; empty: the address that this process uses.")
    tools: tuple[FarmTool, ...] = option(
        (), "Filament and nozzle of each tool, from tool 0 on, under [[farm.tools]].", table_type=FarmTool
    )


def read(path: Path | None, environ: Mapping[str, str]) -> FarmConfig:
    """Read the section from the configuration file.

    Raises:
        ConfigError: the file cannot be read, or has a value that cannot be used.
    """
    config = load_sections(path, environ, {"farm": FarmConfig()})["farm"]
    check(config)
    return config


def check(config: FarmConfig) -> None:
    """Refuse values that cannot work; raises ConfigError."""
    if not re.fullmatch(PRINTER_ID, config.id):
        raise ConfigError(
            f"farm.id = {config.id[:60]!r}: must be a printer's id of 1 to 32 characters of a-z, 0-9 and -"
        )
    if not config.servers:
        raise ConfigError("farm.servers: name the farm's NATS server, such as tls://farm.local:4222")
    if len(config.tools) > MAX_TOOLS:
        raise ConfigError(f"farm.tools: at most {MAX_TOOLS} are allowed, not {len(config.tools)}")


def seed(config: FarmConfig, environ: Mapping[str, str]) -> str:
    """Return the printer's seed.

    Raises:
        ConfigError: no seed is configured, or its file cannot be read.
    """
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError, UnicodeDecodeError):
            text = (Path(directory) / CREDENTIAL).read_text("utf-8").strip()
            if text and text != NO_SEED:
                return text
    if config.seed_file:
        path = expand_home(config.seed_file)
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"farm.seed_file: cannot read {path}: {error}") from error
    raise ConfigError("farm.seed_file: name the file with the printer's seed, as `nozzled farm join` writes it")


def tools(config: FarmConfig) -> tuple[Tool, ...]:
    """Return filament and nozzle of each tool."""
    return tuple(Tool(each.material, each.colour, each.nozzle_mm) for each in config.tools)
