"""The service as it is installed on this machine: which configuration is whose, and where its state is.

`nozzled.service` has /etc/nozzled.toml; an instance for one of several printers, `nozzled@PRINTER.service`, has
/etc/nozzled/PRINTER.toml.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from gcode.frozen import frozen

NAME = "nozzled"
UNITS = "etc/systemd/system"
PATIENCE = 5.0  # s that systemctl may take

Systemctl = Callable[..., str]
"""Runs systemctl with these words; returns its output, "" where it fails."""


@frozen
class Installed:
    """One service.

    Attributes:
        root: of the file system; / but in tests.
        printer: which of several; "" for the only one.
    """

    root: Path
    printer: str = ""

    @property
    def core(self) -> str:
        """The unit that prints."""
        return f"{NAME}@{self.printer}.service" if self.printer else f"{NAME}.service"

    @property
    def front(self) -> str:
        """The unit that answers requests."""
        return f"{NAME}-front@{self.printer}.service" if self.printer else f"{NAME}-front.service"

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.root / "etc" / (f"{NAME}/{self.printer}.toml" if self.printer else f"{NAME}.toml")

    @property
    def state(self) -> Path:
        """Its state directory, which only root and the service may open."""
        return self.root / "var/lib" / self._folder

    @property
    def credentials(self) -> Path:
        """Where systemd puts a key that is handed in; for root."""
        return self.root / "run/credentials" / self.front

    @property
    def runs(self) -> bool:
        """Its core is there; systemd removes the directory when that is stopped."""
        return (self.root / "run" / self._folder).is_dir()

    @property
    def _folder(self) -> str:
        return f"{NAME}-{self.printer}" if self.printer else NAME


def is_installed(root: Path = Path("/")) -> bool:
    """Tell whether the service is installed here."""
    return (root / UNITS / f"{NAME}-front.service").is_file()


def service_of(config: Path, root: Path = Path("/")) -> Installed | None:
    """Return whose configuration this is; None: of no service."""
    if not is_installed(root):
        return None
    path = config.absolute()
    return next((each for each in services(root) if each.config == path), None)


def services(root: Path = Path("/")) -> Iterator[Installed]:
    """Yield all that are installed and configured, the one for a single printer first."""
    if not is_installed(root):
        return
    single = Installed(root)
    if single.config.is_file():
        yield single
    for path in sorted((root / "etc" / NAME).glob("*.toml")):
        yield Installed(root, path.stem)


def systemctl(*words: str) -> str:
    """Ask systemd; "" where there is none, or it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - words of our own, and no shell
            ["systemctl", *words],  # noqa: S607 - the system's own
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def listening(ask: Systemctl = systemctl) -> list[str]:
    """Return where `nozzled.socket` listens, like 127.0.0.1:5000 or [::]:5000; nothing where it does not."""
    shown = ask("show", "--property=ActiveState", "--property=Listen", f"{NAME}.socket").splitlines()
    if "ActiveState=active" not in shown:
        return []
    found = (line.partition("=")[2].partition(" ")[0] for line in shown if line.startswith("Listen="))
    return [each for each in found if each.rpartition(":")[2].isdecimal()]


def listening_as(host: str, port: int) -> str:
    """Return how systemd writes the address of a configuration."""
    host = {"localhost": "127.0.0.1", "": "0.0.0.0"}.get(host, host)  # noqa: S104 - as it is configured
    return f"[{host}]:{port or 5000}" if ":" in host else f"{host}:{port or 5000}"
