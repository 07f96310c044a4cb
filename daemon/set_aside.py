"""What to do with a file of the service's own that is damaged: keep it under another name, and begin anew.

A power cut or a failing card may leave anything. None of it is worth a printer that stays unattended: what the file
said is lost with or without us, and a person may still look at it.
"""

from contextlib import suppress
from pathlib import Path

import structlog

SUFFIX = ".damaged"

log = structlog.get_logger()


def set_aside(path: Path, reason: str, consequence: str, *, also: tuple[str, ...] = ()) -> Path:
    """Rename a damaged file, in the place of one that was damaged before, and say so; return its new name. Blocks.

    Args:
        path: of the file.
        reason: what is wrong with it.
        consequence: what begins anew.
        also: endings of files that belong to it.

    Raises:
        OSError: it cannot be renamed.
    """
    kept = path.with_name(path.name + SUFFIX)
    path.replace(kept)
    for ending in also:
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).replace(path.with_name(path.name + ending + SUFFIX))
    log.warning("file.damaged", path=str(path), reason=reason, consequence=consequence, kept_as=str(kept))
    return kept
