"""The configuration of the farm's server, /etc/nozzled-farm.toml. It contains no secrets."""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from daemon.config import LogConfig, load_sections
from daemon.config.home import expand_home
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
MAX_PORT = 65535
NO_SEED = "#"  # the unit's credential if no seed is set


@frozen
class NatsConfig:
    """The NATS server that carries offers, answers and files. `nozzled farm init` sets one up."""

    urls: tuple[str, ...] = option(("nats://127.0.0.1:4222",), "Its addresses: tls://HOST:PORT or nats://HOST:PORT.")
    ca_file: str = option("", "CA certificate to check the server's certificate with; needed with tls://.")
    seed_file: str = option(
        "", "File with the seed of this server's NKey (chmod 600); empty: the credential nozzled-farm.seed, if any."
    )


@frozen
class ListConfig:
    """The list of jobs."""

    url: str = option("", "postgresql://USER@HOST/NAME for several servers; empty: SQLite, in the state directory.")
    lease_s: float = option(
        60.0, "An offer ends after this many seconds, unless the printer renews it.", low=5, high=3600
    )
    away_s: float = option(  # printers report every 10 s
        60.0, "Seconds of silence after which a printer is shown as away.", low=20, high=3600
    )


@frozen
class FarmHttpConfig:
    """The farm's API and page."""

    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0 means every network of this machine.")
    port: int = option(5050, "TCP port; 0 takes any free one.", low=0, high=65535)
    name: str = option("farm", "Name of the farm, on its page.")


@frozen
class FarmFilesConfig:
    """The cache of G-code on this computer; all of it is in the object store of NATS too."""

    cache_mib: int = option(
        2048, "Size of the cache, in MiB; the least recently used files are dropped.", low=16, high=1_048_576
    )
    keep_days: float = option(
        180,
        "A file is deleted, here and in NATS, this many days after its last print; the history stays.",
        low=1,
        high=36500,
    )


@frozen
class SitesConfig:
    """A farm at several sites: the hub hands whole jobs over to the others, which print them even when cut off."""

    site: str = option("", "Name of this site; empty: this is the hub, or the only site.")
    poll_s: float = option(5.0, "At a site: seconds between two questions to the hub.", low=0.1, high=3600)
    sites: tuple[str, ...] = option((), "At the hub: names of the sites that jobs may be handed over to.")


@frozen
class FarmServerConfig:
    """The whole configuration."""

    nats: NatsConfig = NatsConfig()
    list: ListConfig = ListConfig()
    http: FarmHttpConfig = FarmHttpConfig()
    files: FarmFilesConfig = FarmFilesConfig()
    sites: SitesConfig = SitesConfig()
    log: LogConfig = LogConfig()


SECTIONS = ("nats", "list", "http", "files", "sites", "log")


def read_config(path: Path | None, environ: Mapping[str, str]) -> FarmServerConfig:
    """Read this file, else the system's; if there is none, return the defaults.

    Raises:
        ConfigError: the file cannot be read, or has an unknown section or a value that cannot be used.
    """
    file = path or (SYSTEM_FILE if SYSTEM_FILE.exists() else None)
    if file is None:
        return FarmServerConfig()
    _refuse_unknown(file)
    defaults = FarmServerConfig()
    sections = load_sections(file, environ, {name: getattr(defaults, name) for name in SECTIONS})
    config = FarmServerConfig(**sections)
    _check(config, file)
    return config


def with_address(config: FarmServerConfig, host: str | None, port: int | None) -> FarmServerConfig:
    """Return the configuration with another host and port to listen on; None keeps the configured one.

    Raises:
        ConfigError: there is no such port.
    """
    if port is not None and not 0 <= port <= MAX_PORT:  # the resolver would listen at port 34463 for 99999
        raise ConfigError(f"--port must be from 0 to {MAX_PORT}, not {port}")
    http = replace(config.http, host=host or config.http.host, port=config.http.port if port is None else port)
    return replace(config, http=http)


def render_config(config: FarmServerConfig) -> str:
    """Return a configuration as TOML, with a comment on every key."""
    return "\n".join(render_section(name, getattr(config, name)) for name in SECTIONS)


def find_state_folder(environ: Mapping[str, str], chosen: Path | None = None) -> Path:
    """Return the path of the folder for list, keys and cache, which may not exist yet."""
    return chosen or of_systemd(environ, "STATE_DIRECTORY") or STATE


def state_folder(environ: Mapping[str, str], chosen: Path | None = None) -> Path:
    """Return the folder for list, keys and cache: the chosen one, else systemd's, else /var/lib/nozzled-farm.

    Raises:
        ConfigError: it cannot be created.
    """
    folder = find_state_folder(environ, chosen)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror} (--state names another directory)") from error
    return folder.resolve()


def list_url(config: FarmServerConfig, state: Path) -> str:
    """Return the URL of the list's database."""
    return config.list.url or f"sqlite:///{state}/farm.db"


def nats_address(config: FarmServerConfig, environ: Mapping[str, str]) -> NatsAddress:
    """Return the address of NATS, with our seed and the certificate; raises ConfigError."""
    nats = config.nats
    return NatsAddress(nats.urls, _seed(nats, environ), tls_context(nats.ca_file)).check()


def _seed(nats: NatsConfig, environ: Mapping[str, str]) -> str:
    if nats.seed_file:
        try:
            return expand_home(nats.seed_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"nats.seed_file: cannot read {nats.seed_file}: {error}") from error
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError, UnicodeDecodeError):
            return (Path(credentials) / SEED_CREDENTIAL).read_text("utf-8").strip().removeprefix(NO_SEED)
    return ""


def _refuse_unknown(path: Path) -> None:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    if unknown := sorted(tables.keys() - {*SECTIONS}):
        raise ConfigError(f"{path}: unknown section [{unknown[0][:60]}]: use {', '.join(SECTIONS)}")


def _check(config: FarmServerConfig, path: Path) -> None:
    for name in (*config.sites.sites, *([config.sites.site] if config.sites.site else [])):
        if not is_printer(name):
            raise ConfigError(
                f"{path}: sites: {name[:60]!r} is not a site's name: use 1 to 32 characters of a-z, 0-9 and -"
            )
    if config.sites.site and config.sites.sites:
        raise ConfigError(f"{path}: set sites.site or sites.sites, not both: a site has no sites of its own")
    if config.list.url and urlsplit(config.list.url).scheme.partition("+")[0] not in ("sqlite", "postgresql"):
        raise ConfigError(f"{path}: list.url must begin with postgresql:// or sqlite:///")
