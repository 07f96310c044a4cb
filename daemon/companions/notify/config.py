"""The sections [notify] and [spoolman] of the configuration file. They hold no secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.companions.notify.notices import CLASSES, MUTED
from daemon.companions.notify.texts import LANGUAGES
from daemon.config import load_sections
from daemon.config.options import option


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """Notifications; `nozzled notify serve` sends them."""

    targets_file: str = option(
        "",
        'File with the targets, for its owner alone (chmod 600), with lines such as "phone tgram://TOKEN/CHAT". Empty: '
        "the credential nozzled.notify-targets, $NOZZLED_NOTIFY_TARGETS, or targets in the folder of the service.",
    )
    language: str = option("en", "Language of the messages.", choices=LANGUAGES)
    mute: tuple[str, ...] = option(
        MUTED,
        f"Classes that are not sent, unless they are switched on through the page. All classes: {', '.join(CLASSES)}.",
    )
    picture: bool = option(default=True, doc="Send the camera's picture with a message.")
    timeout_s: float = option(40.0, "Seconds that sending a message may take.", low=2, high=300)
    disk_free_mib: int = option(
        500, "Send a message when less than this many MiB are free on the disk; 0: never.", low=0, high=10**7
    )


@dataclass(frozen=True, slots=True)
class SpoolmanConfig:
    """Spoolman, the inventory of filament; `nozzled notify serve` reports to it what prints use."""

    url: str = option("", "Address of Spoolman, like http://192.168.1.20:7912; empty: no Spoolman.")
    every_s: float = option(60.0, "Seconds between two reports during a print.", low=10, high=3600)


def read(path: Path | None, environ: Mapping[str, str]) -> tuple[NotifyConfig, SpoolmanConfig]:
    """Return both sections of the configuration file; raises ConfigError."""
    notify = load_sections(path, environ, {"notify": NotifyConfig()})["notify"]
    return notify, load_sections(path, environ, {"spoolman": SpoolmanConfig()})["spoolman"]
