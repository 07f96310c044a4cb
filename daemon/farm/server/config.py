"""What is configured of the farm's server: its own file, /etc/nozzled-farm.toml. No secret is among it."""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from daemon.config import LogConfig, load_sections
from daemon.config.options import option
from daemon.config.writing import render_section
from daemon.errors import ConfigError
from daemon.farm.carrier.connect import NatsAddress, tls_context
from daemon.farm.carrier.subjects import is_printer
from daemon.systemd.directories import of_systemd
from gcode.frozen import frozen

SYSTEM_FILE = Path("/etc/nozzled-farm.toml")
STATE = Path("/var/lib/nozzled-farm")
SEED_CREDENTIAL = "nozzled-farm.seed"
NONE = "#"  # what the unit has in the place of a seed


@frozen
class NatsConfig:
    """The NATS server that carries offers, answers and files. `nozzled farm init` sets one up."""

    urls: tuple[str, ...] = option(("nats://127.0.0.1:4222",), "Its addresses: tls://HOST:PORT or nats://HOST:PORT.")
    ca_file: str = option("", "Certificate that the server's is signed by; needed with tls://.")
    seed_file: str = option(
        "", "File with the seed of this server's NKey (chmod 600); empty: the credential nozzled-farm.seed, if there."
    )


@frozen
class ListConfig:
    """The list of jobs."""

    url: str = option("", "postgresql://USER@HOST/NAME for several servers; empty: SQLite, in the state directory.")
    lease_s: float = option(60.0, "Seconds that an offer holds without a sign of life.", low=5, high=3600)
    away_s: float = option(60.0, "Seconds of silence after which a printer is shown as away.", low=5, high=3600)


@frozen
class FarmHttpConfig:
    """API and page of the farm."""

    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0 means every network of this machine.")
    port: int = option(5050, "TCP port; 0 takes any free one.", low=0, high=65535)
    name: str = option("farm", "What the farm is called on its page.")


@frozen
class FarmFilesConfig:
    """G-code that is on this computer; all of it is in the object store of NATS as well."""

    cache_mib: int = option(2048, "MiB on the disk of this computer; what was used least goes.", low=16, high=1_048_576)
    keep_days: float = option(
        180, "Days after its last print that a file is kept, here and in NATS; the history is kept.", low=1, high=36500
    )


@frozen
class SitesConfig:
    """A farm at several places: a hub that hands whole jobs over, and sites that print them, also when cut off."""

    site: str = option("", "What this site is called; empty: this is the hub, or the only place.")
    poll_s: float = option(5.0, "At a site: seconds between two questions to the hub.", low=0.1, high=3600)
    sites: tuple[str, ...] = option((), "On the hub: the sites that jobs may be handed to.")


@frozen
class FarmServerConfig:
    """All of it."""

    nats: NatsConfig = NatsConfig()
    list: ListConfig = ListConfig()
    http: FarmHttpConfig = FarmHttpConfig()
    files: FarmFilesConfig = FarmFilesConfig()
    sites: SitesConfig = SitesConfig()
    log: LogConfig = LogConfig()


SECTIONS = ("nats", "list", "http", "files", "sites", "log")


def read_config(path: Path | None, environ: Mapping[str, str]) -> FarmServerConfig:
    """Return what the file says: the one given, else the system's, else defaults.

    Raises:
        ConfigError: it cannot be read, or something in it is not understood.
    """
    found = path or (SYSTEM_FILE if SYSTEM_FILE.exists() else None)
    if found is None:
        return FarmServerConfig()
    _refuse_unknown(found)
    usual = FarmServerConfig()
    sections = load_sections(found, environ, {name: getattr(usual, name) for name in SECTIONS})
    config = FarmServerConfig(**sections)
    _check(config, found)
    return config


def with_address(config: FarmServerConfig, host: str | None, port: int | None) -> FarmServerConfig:
    """Return it with another address to listen on, where one is given."""
    http = replace(config.http, host=host or config.http.host, port=config.http.port if port is None else port)
    return replace(config, http=http)


def render_config(config: FarmServerConfig) -> str:
    """Write it as TOML, every key with its meaning."""
    return "\n".join(render_section(name, getattr(config, name)) for name in SECTIONS)


def state_folder(environ: Mapping[str, str], given: Path | None = None) -> Path:
    """Return where the list and its key are: as given, as systemd says, else the system's.

    Raises:
        ConfigError: it cannot be made.
    """
    folder = given or of_systemd(environ, "STATE_DIRECTORY") or STATE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror} (--state names another directory)") from error
    return folder.resolve()


def list_url(config: FarmServerConfig, state: Path) -> str:
    """Return the address of the list."""
    return config.list.url or f"sqlite:///{state}/farm.db"


def nats_address(config: FarmServerConfig, environ: Mapping[str, str]) -> NatsAddress:
    """Return where NATS is, and who we are; raises ConfigError."""
    nats = config.nats
    return NatsAddress(nats.urls, _seed(nats, environ), tls_context(nats.ca_file)).checked()


def _seed(nats: NatsConfig, environ: Mapping[str, str]) -> str:
    if nats.seed_file:
        try:
            return Path(nats.seed_file).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"nats.seed_file: {nats.seed_file} cannot be read: {error}") from error
    if given := environ.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError, UnicodeDecodeError):
            return (Path(given) / SEED_CREDENTIAL).read_text("utf-8").strip().removeprefix(NONE)
    return ""


def _refuse_unknown(path: Path) -> None:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    if unknown := sorted(tables.keys() - {*SECTIONS}):
        raise ConfigError(f"{path}: there is no section [{unknown[0][:60]}]; there are {', '.join(SECTIONS)}")


def _check(config: FarmServerConfig, path: Path) -> None:
    for name in (*config.sites.sites, *([config.sites.site] if config.sites.site else [])):
        if not is_printer(name):
            raise ConfigError(
                f"{path}: sites: {name[:60]!r} cannot be a site: use a-z, 0-9 and -, 32 characters at most"
            )
    if config.sites.site and config.sites.sites:
        raise ConfigError(f"{path}: sites.site and sites.sites: a site has no sites of its own")
    if config.list.url and urlsplit(config.list.url).scheme.partition("+")[0] not in ("sqlite", "postgresql"):
        raise ConfigError(f"{path}: list.url must begin with postgresql:// or sqlite:///")
