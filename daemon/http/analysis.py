"""What is known of files, in the words of the API."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from daemon.analysis.findings import Findings
from daemon.analysis.forecast import Outlook
from daemon.analysis.shelf import FileKey, Learnt
from daemon.errors import NoSuchFile
from daemon.filenames import check_path
from daemon.files import Entry
from daemon.http.base import ApiHandler

if TYPE_CHECKING:
    from daemon.app import Service

_EDGES = (("width", 0), ("depth", 1), ("height", 2))


def key_of(entry: Entry) -> FileKey:
    """Return the key of a file among the uploads."""
    return FileKey(entry.path, entry.size, entry.date)


async def of_entry(service: "Service", entry: Entry, *, details: bool = False) -> dict[str, Any]:
    """Return the keys that an analysis adds to what is told of a file; none before it is made."""
    found = await service.analyses.get(key_of(entry))
    if found is None:
        return {}
    shown: dict[str, Any] = {"gcodeAnalysis": of_findings(found)}
    if found.thumbnail is not None:
        shown["thumbnail"] = thumbnail_path(entry.path)
    if details:
        shown["layers"] = found.plan().layers
    return shown


def thumbnail_path(path: str) -> str:
    """Return where the picture of a file is, below the daemon's root."""
    return f"downloads/thumbnails/local/{quote(path)}"


def of_findings(found: Findings) -> dict[str, Any]:
    """Return OctoPrint's `gcodeAnalysis`, and behind it what OctoPrint does not know."""
    summary = found.summary
    shown: dict[str, Any] = {"errors": found.errors, "warnings": found.warnings}
    if found.duration is None:
        return shown
    bounds = summary["bounds"]
    return {
        "estimatedPrintTime": found.duration,
        "filament": filament(found),
        "printingArea": _area(bounds["printing"]),
        "dimensions": _dimensions(bounds["printing"]),
        "travelArea": _area(bounds["travel"]),
        "travelDimensions": _dimensions(bounds["travel"]),
        **shown,
        "layers": summary["layer_count"],
        "slicer": summary["slicer"],
        "slicerEstimate": summary["slicer_estimate_s"],
        "temperatures": summary["temperatures"],
        "objects": summary["objects"],
        "limitsFrom": summary["limits_from"],
    }


def filament(found: Findings) -> dict[str, dict[str, float]]:
    """Return what each tool uses: mm, and cm³."""
    return {
        f"tool{use['tool']}": {"length": use["length_mm"], "volume": use["volume_mm3"] / 1000}
        for use in found.summary.get("tools", ())
    }


def estimate(found: Findings | None, learnt: Learnt) -> dict[str, Any]:
    """Return how long a print will take on this printer, and how that is known."""
    if found is None or found.duration is None:
        return {"estimatedPrintTime": None}
    before = found.summary.get("before_first_layer_s", 0.0)
    seconds = before + (found.duration - before) * learnt.factor
    return {
        "estimatedPrintTime": seconds,
        "estimate": {"planned": found.duration, "factor": learnt.factor, "learntFrom": learnt.prints},
    }


def of_outlook(outlook: Outlook) -> dict[str, Any]:
    """Return what is known of a print under way besides OctoPrint's keys."""
    told = {"completion": outlook.m73_percent, "printTimeLeft": outlook.m73_left}
    return {
        "timeCompletion": 100.0 * outlook.time_share,
        "layer": outlook.layer,
        "layers": outlook.layers,
        "m73": told if any(value is not None for value in told.values()) else None,
    }


def _area(box: dict[str, Any] | None) -> dict[str, float] | None:
    if box is None:
        return None
    lows = {f"min{axis}": low for axis, low in zip("XYZ", box["min"], strict=True)}
    return lows | {f"max{axis}": high for axis, high in zip("XYZ", box["max"], strict=True)}


def _dimensions(box: dict[str, Any] | None) -> dict[str, float] | None:
    return None if box is None else {name: box["max"][axis] - box["min"][axis] for name, axis in _EDGES}


class ThumbnailHandler(ApiHandler):
    """/downloads/thumbnails/local/<path>: a file's picture."""

    async def get(self, path: str) -> None:
        """Send the picture.

        Raises:
            NoSuchFile: there is no such file, or no picture in it.
        """
        entry = await self.service.files.info("/".join(check_path(path)))
        found = await self.service.analyses.get(key_of(entry)) if entry.type != "folder" else None
        if found is None or found.thumbnail is None:
            raise NoSuchFile(f"there is no picture of {path}")
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=60")
        self.write(found.thumbnail)
