"""An analysis that also writes the file's toolpath. Imports NumPy: for the worker process and benchmarks."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from daemon.front.analysis.file_analysis import analyse
from gcode.analysis.machine import Machine
from gcode.analysis.result import Analysis
from gcode.analysis.toolpath import Toolpath
from gcode.analysis.toolpath_format import HEADER, header_of

MAX_BYTES = 64 * 1024 * 1024  # of a toolpath
MAX_SHARE = 0.25  # of its file's size
MIN_LIMIT = 256 * 1024  # bytes; small files may have larger toolpaths


def analyse_with_toolpath(path: Path, target: Path, printer: Machine) -> tuple[Analysis, dict[str, Any] | None]:
    """Analyse a file, and write its toolpath to `target`; return the analysis, and `bytes` and `id` of the toolpath.

    The second value is None if there is no toolpath, or if it cannot be written.

    Raises:
        FileError: like `analyse`.
        NotPrintable: like `analyse`.
    """
    try:
        with tempfile.TemporaryFile(dir=target.parent) as chunks:
            toolpath = Toolpath(chunks.write, _max_bytes(path))
            analysis = analyse(path, printer, watch=toolpath.take)
            head = toolpath.finish(analysis.layers, analysis.size)
            if head is None:
                return analysis, None
            chunks.seek(0)
            with target.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(chunks, file)
    except OSError:
        return analyse(path, printer), None
    header = header_of(head[:HEADER])
    return analysis, {"bytes": len(head) + toolpath.bytes, "id": header.id.hex() if header is not None else ""}


def _max_bytes(path: Path) -> int:
    return int(min(MAX_BYTES, max(MIN_LIMIT, MAX_SHARE * path.stat().st_size)))
