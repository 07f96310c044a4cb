"""The worker process that analyses one file: it reads a task from stdin and writes the result to stdout, as JSON.

It runs with low priority, and the service may kill it at any time. It also writes the file's toolpath, which the
service uses only together with the result.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.config import ProfileConfig
from daemon.front.bounded_process import bound
from gcode.errors import NozzledError

MAX_MEMORY = 1024 * 1024 * 1024  # bytes of address space; an analysis takes a tenth of it


def main() -> int:
    """Analyse the file, and write the result or an `error` for the user; return the exit code."""
    task = json.load(sys.stdin)
    _lower_priority(urgent=task["urgent"])
    try:
        answer = _analyse(task)
    except NozzledError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout, allow_nan=False)  # else one file's NaN would make the list of all files unreadable
    return 0


def _lower_priority(*, urgent: bool) -> None:
    """Limit the memory, and lower the priority; a task that is not urgent runs only when the processor is idle."""
    with suppress(OSError):  # a sandbox may forbid priorities
        os.nice(5 if urgent else 19)
    if not urgent:
        with suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    bound(MAX_MEMORY)


def _analyse(task: dict[str, Any]) -> dict[str, Any]:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no linear algebra here, but each thread costs memory
    from daemon.front.analysis.file_analysis import machine  # noqa: PLC0415 - loads NumPy
    from daemon.front.analysis.thumbnails import in_all_sizes  # noqa: PLC0415 - loads Pillow
    from daemon.front.analysis.toolpath_analysis import analyse_with_toolpath  # noqa: PLC0415 - loads NumPy, too

    printer = machine(ProfileConfig(**task["profile"]), task["settings"], task["firmware"])
    analysis, toolpath = analyse_with_toolpath(Path(task["path"]), Path(task["toolpath"]), printer)
    return {"analysis": analysis.as_json(), "pictures": in_all_sizes(analysis.thumbnails), "toolpath": toolpath}


if __name__ == "__main__":
    sys.exit(main())
