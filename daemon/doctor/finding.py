"""The input of a check, `Subject`, and its output, `Finding`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import Any

from daemon.config import Config
from daemon.doctor.view import View
from daemon.systemd.installed import InstalledService
from gcode.frozen import frozen


class Grade(Enum):
    """How bad a finding is."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "BAD"


@frozen
class Finding:
    """What a check has found, as a sentence, and how to fix it."""

    grade: Grade
    text: str
    fix: str = ""


def good(text: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Grade.GOOD, text)


def note(text: str, fix: str = "") -> Finding:
    """Return a finding that may explain a problem."""
    return Finding(Grade.NOTE, text, fix)


def bad(text: str, fix: str) -> Finding:
    """Return a finding that has to be fixed."""
    return Finding(Grade.BAD, text, fix)


@frozen
class Subject:
    """The daemon to check.

    Attributes:
        state: its state directory.
        config: its configuration; the defaults if that cannot be used.
        config_path: the configuration file; None: there is none.
        mistake: what is wrong with the configuration file; "": nothing.
        service: the installed service; None: the daemon is started by hand.
        sockets: addresses at which systemd listens for it.
        host: its address.
        port: its TCP port; 0: any.
        version: of this program.
        running_version: of the running daemon; "": it did not answer; None: it was not asked, or refused to answer.
        printer_status: the printer's state and, after ": ", the error, as clients see them.
        companions: the answers of companions that are switched on, by name, as /api/companions has them.
    """

    state: Path
    config: Config = field(default_factory=Config)
    config_path: Path | None = None
    mistake: str = ""
    service: InstalledService | None = None
    sockets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 5000
    version: str = ""
    running_version: str | None = None
    printer_status: str = ""
    companions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """The user that opens the port; "": the current one."""
        return "nozzled" if self.service is not None else ""


Check = Callable[[View, Subject], Iterator[Finding]]
