"""Reads the comments of slicers: name and version, layers, objects, settings, estimate, pictures."""

import re
from dataclasses import field, replace

from gcode.analysis.about import FileMetadata, read_metadata
from gcode.analysis.objects import Objects
from gcode.analysis.pictures import Pictures
from gcode.analysis.slicers import Slicer, recognise
from gcode.frozen import frozen, mutable
from gcode.texts import number

MAX_COMMENT = 4096
"""Characters of a comment that are read; `pictures` reads whole pictures in one line."""

MAX_SETTINGS = 2000
_MAX_TEXT = 200  # characters of a key or a value

# Marks of a new layer, the most reliable kind first. After a mark of one kind, less reliable kinds no longer count.
_LAYER = re.compile(
    r"(?P<a>LAYER_CHANGE$|CHANGE_LAYER$)|(?P<b>LAYER: ?-?\d+$)|(?P<c>layer \d+(?:[, :].*)?$|<layer \d+>"
    r"|--- layer \d+ \(|BEGIN_LAYER_OBJECT\b|layer:\d)"
)
_RANKS = {"a": 3, "b": 2, "c": 1}
_LAYER_BEGINS = ("L", "C", "l", "<", "-", "B")
_Z = ("Z:", "Z_HEIGHT:", "BEGIN_LAYER_OBJECT z=")
_HEIGHT = ("HEIGHT:", "LAYER_HEIGHT:")
_SEPARATOR = re.compile(r"[=:]")
_HAS_MEANING = re.compile(rb"[=:,]|^; ?version ")  # comments that may matter each time that they come
_MAX_MARKS = 5000  # comments in which a slicer may give its name
_MAX_DULL_SIZE, _MAX_DULL = 60, 1000  # bytes of a dull comment that is remembered, and number of such comments
_DULL = frozenset(
    {"type", "time_elapsed", "printing_time", "remaining_time", "printing_id", "width", "gimage", "simage"}
)


@frozen
class LayerMark:
    """What comments say about the layer that begins, or has begun.

    Attributes:
        begins: a layer begins.
        z: of the layer, in mm; None: the comments do not say.
        height: of the layer, in mm; None: the comments do not say.
    """

    begins: bool = False
    z: float | None = None
    height: float | None = None


_NO_MARK = LayerMark()


@mutable
class Comments:
    """Takes a file's comments one by one; `settings` are the values of `key = value`, the last one of each key."""

    settings: dict[str, str] = field(default_factory=dict)
    objects: Objects = field(default_factory=Objects)
    pictures: Pictures = field(default_factory=Pictures)
    _layer_mark: LayerMark = _NO_MARK
    _slicer: Slicer | None = None
    _version: str = ""
    _facts: dict[str, str] = field(default_factory=dict)
    _dull: set[bytes] = field(default_factory=set)
    _marks_checked: int = 0
    _layer_rank: int = 0
    _last_layer: int = -1  # by its number, in Cura's marks
    _block_is_open: bool = False  # BambuStudio and OrcaSlicer: EXECUTABLE_BLOCK has begun and not ended
    _group: str = ""  # Simplify3D 5: the heater of the temperatures that follow

    @property
    def slicer(self) -> Slicer | None:
        """The slicer of the file."""
        return self._slicer

    def about(self) -> FileMetadata:
        """Return the metadata read so far."""
        return read_metadata(self._slicer, self._version, _with_temperatures(self._facts))

    @property
    def block_is_open(self) -> bool:
        """The block of commands of BambuStudio and its relatives has begun and not ended."""
        return self._block_is_open

    @property
    def missing_layers(self) -> tuple[int, int] | None:
        """The number of layers that Cura announces, and the number that the file has; None: no layer is missing."""
        announced = number(self._facts.get("layer_count", ""))
        present = self._last_layer + 1
        return (int(announced), present) if announced is not None and 0 < present < announced else None

    def take_layer_mark(self) -> LayerMark:
        """Return what the comments since the last call say about the layer."""
        mark, self._layer_mark = self._layer_mark, _NO_MARK
        return mark

    def note(self, raw: bytes, line: int) -> None:
        """Take a line that begins with a semicolon; `line` is its number."""
        if not self.pictures.is_open and self._is_frequent(raw):
            return
        if b"image" in raw[:28] and self.pictures.is_long(raw):
            self.pictures.take_long(raw, line)
            return
        text = raw[1:MAX_COMMENT].decode("utf-8", "replace").strip("; \t")
        if self.pictures.take(text, line):
            return
        if text[:1] in _LAYER_BEGINS and (match := _LAYER.match(text)):
            self._note_layer(_RANKS[match.lastgroup or "c"])
            if match.lastgroup == "b":
                self._last_layer = max(self._last_layer, int(number(text.partition(":")[2]) or 0))
            if not text.startswith(_Z):
                return
        if text.startswith(_Z):
            self._layer_mark = replace(self._layer_mark, z=number(_SEPARATOR.split(text, 1)[1]))
        elif text.startswith(_HEIGHT):
            self._layer_mark = replace(self._layer_mark, height=number(_SEPARATOR.split(text, 1)[1]))
        elif text and not self.objects.take_comment(text):
            self._note_rare(text)
            self._remember(raw)

    def _is_frequent(self, raw: bytes) -> bool:
        """Take a comment that comes with each layer or has no meaning; tell whether it is one."""
        if raw in self._dull:
            return True
        if raw == b";LAYER_CHANGE":
            self._note_layer(_RANKS["a"])
        elif raw.startswith(b";Z:"):
            self._layer_mark = replace(self._layer_mark, z=number(raw[3:40].decode("ascii", "replace")))
        elif raw.startswith(b";HEIGHT:"):
            self._layer_mark = replace(self._layer_mark, height=number(raw[8:40].decode("ascii", "replace")))
        else:
            return False
        return True

    def _remember(self, raw: bytes) -> None:
        """Remember a comment without meaning, because slicers repeat themselves."""
        if len(raw) <= _MAX_DULL_SIZE and len(self._dull) < _MAX_DULL and not _HAS_MEANING.search(raw):
            self._dull.add(raw)

    def _note_layer(self, rank: int) -> None:
        if rank >= self._layer_rank:
            self._layer_rank = rank
            self._layer_mark = replace(self._layer_mark, begins=True)

    def _note_rare(self, text: str) -> None:
        if text.startswith("---"):  # Kiri:Moto: `--- print time: 60s ---`
            text = text.strip("- ")
        if self._marks_checked < _MAX_MARKS and (recognised := self._recognise(text)):
            self._slicer, self._version = recognised
        elif text.startswith("model printing time"):  # `model printing time: 1h; total estimated time: 2h`
            for part in text.split("; "):
                self._note_pair(part)
        else:
            self._note_pair(text)

    def _recognise(self, text: str) -> tuple[Slicer, str] | None:
        """Return the slicer and version that a comment names; a slicer takes precedence over its engine."""
        if self._slicer is not None and not self._slicer.engine:
            return None
        self._marks_checked += 1
        recognised = recognise(text)
        known_better = self._slicer is not None and recognised is not None and recognised[0].engine
        return None if known_better else recognised

    def _note_pair(self, text: str) -> None:
        match = _SEPARATOR.search(text)
        if match is None or match.start() > _MAX_TEXT:
            self._note_bare(text)
            return
        key, value = text[: match.start()].strip(), text[match.end() :].strip()[:_MAX_TEXT]
        if match[0] == "=":
            if len(self.settings) < MAX_SETTINGS or key in self.settings:
                self.settings[key] = value
            self._note_fact(key, value)
        elif key.lower() not in _DULL:
            self._note_fact(key, value)

    def _note_bare(self, text: str) -> None:
        if self._slicer is not None and self._slicer.commas:
            key, comma, value = text.partition(",")
            if comma:
                self._note_fact(key, value[:_MAX_TEXT])
        elif text in ("EXECUTABLE_BLOCK_START", "EXECUTABLE_BLOCK_END"):
            self._block_is_open = text.endswith("START")
        elif text.startswith("version "):  # KISSlicer
            self._note_fact("version", text[8 : 8 + _MAX_TEXT])

    def _note_fact(self, key: str, value: str) -> None:
        key = key[:_MAX_TEXT].strip().lower()
        if key == "temperaturetype":
            self._group = value.strip()[:20]
        elif key == "temperaturesetpoints" and "|" in value:
            key, value = f"temperature {self._group}", value.partition("|")[2].partition(",")[0]
        elif key == "dimension":  # ideaMaker: width, depth, height, nozzles
            self._note_fact("dimension nozzle", " ".join(value.split()[3:4]))
        if len(self._facts) < MAX_SETTINGS:
            self._facts.setdefault(key, value.strip())


def _with_temperatures(facts: dict[str, str]) -> dict[str, str]:
    """Return the pairs, with heaters and temperatures joined, which Simplify3D 4 writes as two lists."""
    heaters = facts.get("temperaturename", "").split(",")
    targets = facts.get("temperaturesetpointtemperatures", "").split(",")
    result = dict(facts)
    for heater, target in zip(heaters, targets, strict=False):
        kind = "platform" if "bed" in heater.lower() else "extruder"
        result.setdefault(f"temperature {kind}", target)
    return result
