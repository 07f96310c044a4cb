"""What slicers say in comments: who they are, layers, objects, settings, their own estimate, pictures."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from gcode.analysis.result import Thumbnail

MAX_SETTINGS = 1000
MAX_OBJECTS = 1000
MAX_THUMBNAILS = 16
MAX_PICTURE = 4 * 1024 * 1024  # characters of base64
_MAX_TEXT = 200  # characters of a value or name

_SLICER = re.compile(r"(?:g-code )?(?:generated|sliced) (?:by|with)\s*:?\s*(.+?)(?:\s+on\s+\d{4}-.*)?$", re.IGNORECASE)
_SETTING = re.compile(r"([\w \[\]%(),.-]+?)\s*=\s*(.*)$")
_THUMBNAIL = re.compile(r"thumbnail(?:_(JPG|QOI))? begin\s+(\d{1,5})\s*[x ]\s*(\d{1,5})\s+(\d{1,9})$")
_THUMBNAIL_END = re.compile(r"thumbnail(?:_\w+)? end")
_OBJECT = re.compile(r"(?:printing object |MESH:)(.+?)(?: id:\d+)?(?: copy \d+)?$")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|s)[a-z]*", re.IGNORECASE)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_LAYER = re.compile(r"(?:LAYER_CHANGE|CHANGE_LAYER|LAYER:\s*-?\d+|layer \d+(?:,.*)?)$")

# What a line begins with that holds the slicer's own estimate of the whole print.
_ESTIMATES = (
    "estimated printing time (normal mode)",
    "total estimated time",
    "Build time",
    "TIME:",
    "PRINT.TIME:",
)


@dataclass(slots=True)
class Comments:
    """Takes a file's comments one by one.

    Attributes:
        layer_begun: the last comment marks a layer; whoever asks sets it back.
        z: height that the last comment gave for its layer, or None; as `layer_begun`.
        height: thickness, likewise.
    """

    slicer: str | None = None
    estimate_s: float | None = None
    settings: dict[str, str] = field(default_factory=dict)
    objects: dict[str, None] = field(default_factory=dict)
    thumbnails: list[Thumbnail] = field(default_factory=list)
    layer_begun: bool = False
    z: float | None = None
    height: float | None = None
    _picture: "_Picture | None" = None

    def note(self, raw: bytes) -> None:
        """Take one line that begins with a semicolon."""
        text = raw[1:].decode("utf-8", "replace").strip()
        if self._picture is not None:
            self._take_picture(text)
        elif _LAYER.match(text):
            self.layer_begun = True
        elif text.startswith("Z:"):
            self.z = number(text[2:])
        elif text.startswith("HEIGHT:"):
            self.height = number(text[7:])
        else:
            self._note_rare(text)

    def _note_rare(self, text: str) -> None:
        if match := _THUMBNAIL.match(text):
            kind, width, height, _ = match.groups()
            self._picture = _Picture((kind or "png").lower(), int(width), int(height))
        elif text.startswith(_ESTIMATES):
            self._note_estimate(text)
        elif self.slicer is None and (match := _SLICER.match(text)):
            self.slicer = match[1][:_MAX_TEXT]
        elif match := _OBJECT.match(text):
            self.add_object(match[1])
        elif (match := _SETTING.match(text)) and len(self.settings) < MAX_SETTINGS:
            self.settings[match[1][:_MAX_TEXT]] = match[2][:_MAX_TEXT]

    def add_object(self, name: str) -> None:
        """Remember an object that is marked."""
        if len(self.objects) < MAX_OBJECTS:
            self.objects[name[:_MAX_TEXT]] = None

    def _note_estimate(self, text: str) -> None:
        name, _, value = text.replace("=", ":", 1).partition(":")
        if "total estimated time" in value:  # `model printing time: 1h; total estimated time: 2h`
            value = value.rpartition(":")[2]
        seconds = number(value) if name in ("TIME", "PRINT.TIME") else span(value)
        self.estimate_s = seconds if self.estimate_s is None else self.estimate_s

    def _take_picture(self, text: str) -> None:
        picture = self._picture
        if picture is None:
            return
        if not _THUMBNAIL_END.match(text):
            picture.add(text)
            return
        self._picture = None
        if len(self.thumbnails) < MAX_THUMBNAILS and (data := picture.data()):
            self.thumbnails.append(Thumbnail(picture.format, picture.width, picture.height, data))


@dataclass(slots=True)
class _Picture:
    """A picture of which not all lines are there yet."""

    format: str
    width: int
    height: int
    _lines: list[str] = field(default_factory=list)
    _size: int = 0

    def add(self, line: str) -> None:
        self._size += len(line)
        if self._size <= MAX_PICTURE:
            self._lines.append(line)

    def data(self) -> bytes:
        """Return the picture; nothing if it is too large, or no base64."""
        if self._size > MAX_PICTURE:
            return b""
        try:
            return base64.b64decode("".join(self._lines), validate=True)
        except (binascii.Error, ValueError):
            return b""


def number(text: str) -> float | None:
    """Return a number, None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None  # noqa: PLR2004 - and is no NaN


def span(text: str) -> float | None:
    """Return the seconds of `1d 2h 3m 4s` or `1 hour 2 minutes`; None if it says no time."""
    parts = _SPAN.findall(text)
    return sum(float(value) * _SECONDS[unit.lower()] for value, unit in parts) if parts else None
