"""What is configured of the farm beside a printer: `[farm]`. The printer's seed is in a file of its own."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from daemon.config import load_sections
from daemon.config.options import option
from daemon.errors import ConfigError
from daemon.farm.messages import PRINTER_ID, Tool
from gcode.frozen import frozen

CREDENTIAL = "nozzled.farm-seed"
NONE = "#"  # what the unit has in the place of a seed
MOST_TOOLS = 16


@frozen
class FarmTool:
    """What is mounted on a tool."""

    material: str = option("", "Material that is loaded, such as PLA; empty: as Spoolman says.")
    colour: str = option("", "Its colour, as the farm's jobs name it; empty: as Spoolman says.")
    nozzle_mm: float = option(0.0, "Diameter of the nozzle, in mm; 0: as the profile says.", low=0, high=10)


@frozen
class FarmConfig:
    """A farm that this printer prints for; `nozzled farm agent` takes what it offers."""

    id: str = option("", "What the printer is called in the farm: a to z, 0 to 9 and -, at most 32 characters.")
    servers: tuple[str, ...] = option((), "Addresses of the farm's NATS servers, such as tls://farm.local:4222.")
    ca_file: str = option("", "Certificate that theirs is signed by.")
    seed_file: str = option(
        "",
        "File with the printer's NKey seed (chmod 600), as `nozzled farm join` writes it; the unit has it as its "
        "credential nozzled.farm-seed.",
    )
    group: str = option("", "Group of printers that it belongs to.")
    url: str = option("", "Address of the printer's page, for people; empty: the address that this process uses.")
    tools: tuple[FarmTool, ...] = option(
        (), "What is mounted, from tool 0 on, each under [[farm.tools]].", each=FarmTool
    )


def read(path: Path | None, environ: Mapping[str, str]) -> FarmConfig:
    """Return what the configuration file says.

    Raises:
        ConfigError: it says something that cannot be.
    """
    config = load_sections(path, environ, {"farm": FarmConfig()})["farm"]
    check(config)
    return config


def check(config: FarmConfig) -> None:
    """Refuse values that cannot work; raises ConfigError."""
    if not re.fullmatch(PRINTER_ID, config.id):
        raise ConfigError(
            f"farm.id = {config.id[:60]!r}: must be a printer's name of a to z, 0 to 9 and -, at most 32 characters"
        )
    if not config.servers:
        raise ConfigError("farm.servers: name the farm's NATS server, such as tls://farm.local:4222")
    if len(config.tools) > MOST_TOOLS:
        raise ConfigError(f"farm.tools: there are more than {MOST_TOOLS}")


def seed(config: FarmConfig, environ: Mapping[str, str]) -> str:
    """Return the printer's seed.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    if given := environ.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError, UnicodeDecodeError):
            text = (Path(given) / CREDENTIAL).read_text("utf-8").strip()
            if text and text != NONE:
                return text
    if config.seed_file:
        path = Path(config.seed_file).expanduser()
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"farm.seed_file: {path} cannot be read: {error}") from error
    raise ConfigError("farm.seed_file: name the file with the printer's seed, as `nozzled farm join` writes it")


def tools(config: FarmConfig) -> tuple[Tool, ...]:
    """Return what is mounted."""
    return tuple(Tool(each.material, each.colour, each.nozzle_mm) for each in config.tools)
