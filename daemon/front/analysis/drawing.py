"""An analysis that writes the file's toolpath too. Imports NumPy: for the worker process and benchmarks."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from daemon.front.analysis.reading import analyse
from gcode.analysis.machine import Machine
from gcode.analysis.result import Analysis
from gcode.analysis.toolpath import Toolpath
from gcode.analysis.toolpath_format import HEADER, header_of

MOST = 64 * 1024 * 1024  # bytes of a toolpath,
LEAST, SHARE = 256 * 1024, 0.25  # and no more than this share of its file, unless that is small


def draw(path: Path, target: Path, printer: Machine) -> tuple[Analysis, dict[str, Any] | None]:
    """Return what is known of a file, and of its toolpath, which is at `target` then; None: there is none.

    A disk without room keeps nobody from the analysis.

    Raises:
        FileError: as `analyse`.
        NotPrintable: as `analyse`.
    """
    try:
        with tempfile.TemporaryFile(dir=target.parent) as chunks:
            toolpath = Toolpath(chunks.write, _most(path))
            found = analyse(path, printer, watch=toolpath.take)
            head = toolpath.finish(found.layers, found.size)
            if head is None:
                return found, None
            chunks.seek(0)
            with target.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(chunks, file)
    except OSError:
        return analyse(path, printer), None
    header = header_of(head[:HEADER])
    return found, {"bytes": len(head) + toolpath.bytes, "id": header.id.hex() if header is not None else ""}


def _most(path: Path) -> int:
    return int(min(MOST, max(LEAST, SHARE * path.stat().st_size)))
