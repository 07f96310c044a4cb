"""The section `[timelapse]` of the configuration file."""

from collections.abc import Mapping
from pathlib import Path

from daemon.config import load_sections, option
from gcode.frozen import frozen


@frozen
class TimelapseConfig:
    """Films of prints, made by the process `nozzled-timelapse`."""

    type: str = option(
        "zchange",
        "When a picture is taken, unless chosen otherwise in the page: at each layer, at intervals, or never.",
        choices=("zchange", "timed", "off"),
    )
    interval_s: int = option(10, "Seconds between two pictures, for timed.", low=1, high=3600)
    min_delay_s: float = option(0.5, "Seconds between two pictures at least, for zchange.", low=0, high=3600)
    fps: int = option(25, "Pictures a second of the film.", low=1, high=120)
    post_roll_s: int = option(0, "Seconds that the film shows its last picture.", low=0, high=60)
    render: str = option(
        "always", "After which prints a film is made.", choices=("always", "success", "failure", "never")
    )
    camera: str = option("", "Name of the camera; empty: the first that gives single pictures.")
    snapshot_url: str = option("", "Address of the single picture, if it is not that camera's.")
    height: int = option(720, "Lines of the film at most; 0: as many as the pictures have.", low=0, high=4320)
    format: str = option(
        "", "mp4 (H.264), or mkv, which copies the pictures and computes nothing; empty: mkv below 600 MB of memory.",
        choices=("", "mp4", "mkv"),
    )  # fmt: skip
    memory_mib: int = option(768, "Memory that ffmpeg may use.", low=64, high=65536)
    frames_mib: int = option(1024, "Room for the pictures of one print.", low=1, high=10**6)
    all_frames_mib: int = option(4096, "Room for the pictures of all prints that have no film yet.", low=1, high=10**6)
    free_mib: int = option(1024, "Free room on the disk below which no picture is taken.", low=0, high=10**7)
    keep_days: int = option(7, "Days that pictures without a film are kept.", low=1, high=3650)
    films: int = option(100, "Films that are kept; the oldest go.", low=1, high=200)
    films_mib: int = option(8192, "Room for the films; the oldest go.", low=1, high=10**7)
    ffmpeg: str = option("ffmpeg", "The program that makes films.")


def read(path: Path | None, environ: Mapping[str, str]) -> TimelapseConfig:
    """Return the section of the configuration file; raises ConfigError."""
    return load_sections(path, environ, {"timelapse": TimelapseConfig()})["timelapse"]
