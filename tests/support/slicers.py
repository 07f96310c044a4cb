"""A small handwritten file in the style of each slicer, and the table of the metadata found in them."""

from pathlib import Path

from gcode.analysis.about import FileMetadata
from gcode.analysis.comments import Comments
from support.analysed import ROOT, analyse

FOLDER = ROOT / "tests/data/gcode/slicers"
COLUMNS = (
    "version", "estimate", "layer height", "first layer height", "hotend", "bed", "nozzle", "printer",
    "type", "name", "colour", "weight", "cost", "objects", "pictures",
)  # fmt: skip
"""`hotend` and `bed` are the temperatures of the first layer; `type` to `cost` are those of the first filament."""


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.gcode"))


def metadata(path: Path) -> FileMetadata:
    """Return the metadata in the file's comments, ignoring its commands."""
    comments = Comments()
    for number, line in enumerate(path.read_bytes().splitlines()):
        if line.startswith(b";"):
            comments.note(line, number)
    return comments.about()


def _found(about: FileMetadata) -> dict[str, object]:
    first = about.filaments[0] if about.filaments else None
    values = (
        about.version, about.estimate, about.layer_height, about.first_layer_height, about.first_layer_hotend,
        about.first_layer_bed, about.nozzle, about.printer, first and first.type, first and first.name,
        first and first.colour, first and first.weight, first and first.cost,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=False))


def table() -> str:
    """Return the table of docs/analysis.md."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for path in files():
        analysis = analyse(path.read_bytes())
        values = _found(metadata(path)) | {"objects": analysis.objects, "pictures": analysis.thumbnails}
        known = _found(analysis.about) | {"objects": None, "pictures": None}
        cells = ["yes" if values[name] else "worked out" if known[name] else "" for name in COLUMNS]
        lines.append(f"| {analysis.slicer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
