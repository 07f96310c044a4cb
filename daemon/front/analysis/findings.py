"""Findings: the stored results of an analysis: a summary for lists, and details of one file. Does not use NumPy."""

import base64
import json
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from gcode.frozen import frozen

VERSION = 7
"""Version of the findings; files with findings of another version are analysed again."""

_MIN_STEP_S = 1.0  # s; points of the timeline that are closer count as one

_DETAILS = ("layers", "timeline", "used", "m73")
_PICTURES = "pictures"
_OMITTED = ("settings",)  # hundreds of lines that no client needs


@frozen
class Summary:
    """The part of the findings that lists of files need; the base of both classes below.

    Attributes:
        summary: `gcode.analysis.result.Analysis` without its long lists.
    """

    summary: dict[str, Any]

    @property
    def errors(self) -> list[str]:
        """Why the file should not be printed."""
        return list(self.summary.get("errors", ()))

    @property
    def warnings(self) -> list[str]:
        """What may go wrong in the print."""
        return list(self.summary.get("warnings", ()))

    @property
    def duration(self) -> float | None:
        """The duration of the print in s; None: unknown."""
        return self.summary.get("duration_s") or None


@frozen
class Brief(Summary):
    """A summary, and whether there is a thumbnail: all that is read for a list."""

    has_thumbnail: bool = False


@frozen
class Findings(Summary):
    """All findings of a file.

    Attributes:
        details: the long lists, compressed: `layers`, `timeline`, `used`, `m73`, and all `pictures` except the largest.
        thumbnail: the largest picture, as PNG.
    """

    details: bytes = field(default=b"", repr=False)
    thumbnail: bytes | None = field(default=None, repr=False)

    @property
    def has_thumbnail(self) -> bool:
        """Whether the file has a thumbnail."""
        return self.thumbnail is not None

    def plan(self) -> "Plan":
        """Return the plan of the print."""
        return Plan(self._details(), self.duration or 0.0)

    def picture(self, width: int, height: int) -> bytes | None:
        """Return the picture of this size, as PNG; None: there is none."""
        sizes = self.summary.get("thumbnails", ())
        if sizes and (sizes[0]["width"], sizes[0]["height"]) == (width, height):
            return self.thumbnail
        for each in self._details().get(_PICTURES, ()):
            if (each["width"], each["height"]) == (width, height):
                return base64.b64decode(each["png"])
        return None

    def _details(self) -> dict[str, Any]:
        try:
            details: dict[str, Any] = json.loads(zlib.decompress(self.details)) if self.details else {}
        except (zlib.error, ValueError):  # damaged in the database: a file without a plan can still be printed
            return {}
        return details


def from_analysis(analysis: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]] = ()) -> Findings:
    """Return the findings from the worker's answer.

    Args:
        analysis: `gcode.analysis.result.Analysis` as JSON.
        pictures: `width`, `height` and `png` (base64) of each, the largest first.
    """
    details = {name: analysis.get(name, []) for name in _DETAILS} | {_PICTURES: list(pictures[1:])}
    summary = {name: value for name, value in analysis.items() if name not in (*_DETAILS, *_OMITTED)}
    summary["layer_count"] = len(details["layers"])
    data = [base64.b64decode(each["png"]) for each in pictures]
    summary["thumbnails"] = [
        {"width": each["width"], "height": each["height"], "size": len(png)}
        for each, png in zip(pictures, data, strict=True)
    ]
    return Findings(summary, zlib.compress(json.dumps(details).encode(), 6), data[0] if data else None)


def unreadable(reason: str) -> Findings:
    """Return the findings of a file that cannot be analysed."""
    return Findings({"errors": [reason], "warnings": []})


class Plan:
    """The course of a print as planned: times in s, filament in mm, by offset in the file."""

    def __init__(self, details: Mapping[str, Any], duration: float) -> None:
        self.duration = duration
        self.layers: list[dict[str, Any]] = list(details.get("layers", ()))
        self._offsets = [int(offset) for offset, _ in details.get("timeline", ())]
        self._times = [float(seconds) for _, seconds in details.get("timeline", ())]
        self._used = {int(tool): points for tool, points in details.get("used", ())}
        self._m73 = list(details.get("m73", ()))
        self._layer_offsets = [int(layer["offset"]) for layer in self.layers]

    def seconds_at(self, offset: int) -> float:
        """Return the planned time at this offset of the file."""
        after = bisect_right(self._offsets, offset)
        if after == 0:
            return 0.0
        offset_before, time_before = self._offsets[after - 1], self._times[after - 1]
        if after == len(self._offsets):
            return time_before
        share = (offset - offset_before) / max(1, self._offsets[after] - offset_before)
        return time_before + share * (self._times[after] - time_before)

    def seconds_after(self, offset: int) -> float:
        """Return a planned time by which the line at this offset, and a wait after it, have certainly ended."""
        now = self.seconds_at(offset)
        later = self._times[bisect_right(self._offsets, offset) :]
        return next((seconds for seconds in later if seconds > now + _MIN_STEP_S), self.duration)

    def filament_at(self, offset: int, tool: int) -> float:
        """Return the filament, in mm, that a tool has used before this offset."""
        points = self._used.get(tool, ())
        after = bisect_right(points, offset, key=lambda point: int(point[0]))
        if after == 0:
            return 0.0
        offset_before, length = points[after - 1]
        if after == len(points):
            return float(length)
        offset_after, length_after = points[after]
        share = (offset - offset_before) / max(1, offset_after - offset_before)
        return float(length + share * (length_after - length))

    def layer_at(self, offset: int) -> int:
        """Return the number of the layer at this offset; the first is 1, and 0 is before it."""
        return bisect_right(self._layer_offsets, offset)

    @property
    def first_layer_offset(self) -> int:
        """The offset of the first layer; before it, a print heats and homes."""
        return self._layer_offsets[0] if self._layer_offsets else 0

    def m73_at(self, offset: int) -> tuple[float | None, float | None]:
        """Return percentage done and seconds left, from the file's last M73 before this offset."""
        earlier = [(percent, left) for at, percent, left in self._m73 if at <= offset]
        percent = next((each for each, _ in reversed(earlier) if each is not None), None)
        return percent, next((each for _, each in reversed(earlier) if each is not None), None)
