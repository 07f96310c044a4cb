"""What a check is given, and what it finds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import Any

from daemon.config import Config
from daemon.doctor.view import View
from daemon.systemd.installed import Installed
from gcode.frozen import frozen


class Severity(Enum):
    """How bad it is."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "BAD"


@frozen
class Finding:
    """One sentence, and what to do about it."""

    level: Severity
    text: str
    fix: str = ""


def good(text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(Severity.GOOD, text)


def note(text: str, fix: str = "") -> Finding:
    """Return one that may explain something."""
    return Finding(Severity.NOTE, text, fix)


def bad(text: str, fix: str) -> Finding:
    """Return one that has to be mended."""
    return Finding(Severity.BAD, text, fix)


@frozen
class Subject:
    """The daemon that is looked at.

    Attributes:
        state: its state directory.
        config: what is configured; the defaults where that cannot be used.
        config_path: the file; None: there is none.
        mistake: what is wrong with it, "" for nothing.
        service: the installed service that it is; None: somebody starts it by hand.
        sockets: where systemd listens for it.
        host: where it is asked.
        port: TCP port of it; 0: any.
        version: of this program.
        answers: the version of the daemon that runs, "" where nobody answers; None: it was not asked.
        doing: its state and, behind ": ", the error, as clients are told.
        companions: what those that are switched on say, by name, as /api/companions has it.
    """

    state: Path
    config: Config = field(default_factory=Config)
    config_path: Path | None = None
    mistake: str = ""
    service: Installed | None = None
    sockets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 5000
    version: str = ""
    answers: str | None = None
    doing: str = ""
    companions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Who opens the port; "" for whoever asks."""
        return "nozzled" if self.service is not None else ""


Check = Callable[[View, Subject], Iterator[Finding]]
"""Looks at one thing."""
