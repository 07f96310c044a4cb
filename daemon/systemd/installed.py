"""The installed services of this machine, with their configuration files and state directories.

`nozzled.service` uses /etc/nozzled.toml; an instance for one of several printers, `nozzled@PRINTER.service`, uses
/etc/nozzled/PRINTER.toml.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from gcode.frozen import frozen

NAME = "nozzled"
UNITS = "etc/systemd/system"
SYSTEMCTL_TIMEOUT = 5.0

Systemctl = Callable[..., str]
"""Runs systemctl with these arguments; returns its output, "" if it fails."""


@frozen
class InstalledService:
    """An installed service.

    Attributes:
        root: the root folder of the file system; only tests use another than /.
        printer: the name of the instance; "": the service for a single printer.
    """

    root: Path
    printer: str = ""

    @property
    def core(self) -> str:
        """The core's unit."""
        return f"{NAME}@{self.printer}.service" if self.printer else f"{NAME}.service"

    @property
    def front(self) -> str:
        """The front's unit."""
        return f"{NAME}-front@{self.printer}.service" if self.printer else f"{NAME}-front.service"

    @property
    def core_name(self) -> str:
        """The core's unit, as users name it."""
        return self.core.removesuffix(".service")

    @property
    def front_name(self) -> str:
        """The front's unit, as users name it."""
        return self.front.removesuffix(".service")

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.root / "etc" / (f"{NAME}/{self.printer}.toml" if self.printer else f"{NAME}.toml")

    @property
    def state(self) -> Path:
        """Its state directory, which only root and the service can open."""
        return self.root / "var/lib" / self._folder

    @property
    def credentials(self) -> Path:
        """The directory in which systemd puts a key that is passed in; only root can read it."""
        return self.root / "run/credentials" / self.front

    @property
    def runs(self) -> bool:
        """Its core is running: systemd removes the runtime directory when the core stops."""
        return (self.root / "run" / self._folder).is_dir()

    @property
    def _folder(self) -> str:
        return f"{NAME}-{self.printer}" if self.printer else NAME


def is_installed(root: Path = Path("/")) -> bool:
    """Tell whether the service is installed here."""
    return (root / UNITS / f"{NAME}-front.service").is_file()


def service_of(config: Path, root: Path = Path("/")) -> InstalledService | None:
    """Return the service that uses this configuration file; None: no service does."""
    if not is_installed(root):
        return None
    path = config.absolute()
    return next((each for each in services(root) if each.config == path), None)


def services(root: Path = Path("/")) -> Iterator[InstalledService]:
    """Yield all services that are installed and configured, the one for a single printer first."""
    if not is_installed(root):
        return
    single = InstalledService(root)
    if single.config.is_file():
        yield single
    for path in sorted((root / "etc" / NAME).glob("*.toml")):
        yield InstalledService(root, path.stem)


def systemctl(*words: str) -> str:
    """Run systemctl and return its output; "" if it is missing or fails."""
    try:
        done = subprocess.run(  # noqa: S603 - words of our own, and no shell
            ["systemctl", *words],  # noqa: S607 - the system's own
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def listening(ask: Systemctl = systemctl) -> list[str]:
    """Return the addresses at which `nozzled.socket` listens, like 127.0.0.1:5000 or [::]:5000."""
    properties = ask("show", "--property=ActiveState", "--property=Listen", f"{NAME}.socket").splitlines()
    if "ActiveState=active" not in properties:
        return []
    addresses = (line.partition("=")[2].partition(" ")[0] for line in properties if line.startswith("Listen="))
    return [each for each in addresses if each.rpartition(":")[2].isdecimal()]


def listening_as(host: str, port: int) -> str:
    """Return a configured address in systemd's notation."""
    host = {"localhost": "127.0.0.1", "": "0.0.0.0"}.get(host, host)  # noqa: S104 - as it is configured
    return f"[{host}]:{port or 5000}" if ":" in host else f"{host}:{port or 5000}"
