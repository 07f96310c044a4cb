"""The section `[timelapse]` of the configuration file."""

from collections.abc import Mapping
from pathlib import Path

from daemon.config import load_sections, option
from gcode.frozen import frozen


@frozen
class TimelapseConfig:
    """Timelapse films of prints; `nozzled timelapse serve` makes them."""

    type: str = option(
        "zchange",
        "When pictures are taken, unless the page has another setting: at each layer, at intervals, or never.",
        choices=("zchange", "timed", "off"),
    )
    interval_s: int = option(10, "Seconds between pictures, if type is timed.", low=1, high=3600)
    min_delay_s: float = option(0.5, "Minimum time in seconds between pictures, if type is zchange.", low=0, high=3600)
    fps: int = option(25, "Pictures per second of the film.", low=1, high=120)
    post_roll_s: int = option(0, "Seconds for which an mp4 film shows its last picture.", low=0, high=60)
    render: str = option(
        "always",
        "After which prints a film is made: success means completed prints, failure all others.",
        choices=("always", "success", "failure", "never"),
    )
    camera: str = option("", "Name of the camera; empty: the first that delivers single pictures.")
    snapshot_url: str = option("", "Address of a single picture, if it is not to come from that camera.")
    height: int = option(720, "Maximum height of an mp4 film in pixels; 0: that of the pictures.", low=0, high=4320)
    format: str = option(
        "", "mp4 (H.264), or mkv, which copies the pictures without encoding; empty: mkv below 600 MB of memory.",
        choices=("", "mp4", "mkv"),
    )  # fmt: skip
    memory_mib: int = option(768, "Memory limit of ffmpeg, in MiB.", low=64, high=65536)
    frames_mib: int = option(1024, "Space for the pictures of one print, in MiB.", low=1, high=10**6)
    all_frames_mib: int = option(
        4096, "Space for the pictures of all prints without a film, in MiB.", low=1, high=10**6
    )
    free_mib: int = option(1024, "Free disk space in MiB below which no picture is taken.", low=0, high=10**7)
    keep_days: int = option(7, "Days for which pictures without a film are kept.", low=1, high=3650)
    films: int = option(100, "Number of films to keep; the oldest are deleted.", low=1, high=200)
    films_mib: int = option(8192, "Space for the films, in MiB; the oldest are deleted.", low=1, high=10**7)
    ffmpeg: str = option("ffmpeg", "Path of ffmpeg, which makes the films.")


def read(path: Path | None, environ: Mapping[str, str]) -> TimelapseConfig:
    """Return the section of the configuration file; raises ConfigError."""
    return load_sections(path, environ, {"timelapse": TimelapseConfig()})["timelapse"]
