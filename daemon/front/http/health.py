"""/api/health and /api/recordings: how the line, the service and the machine do; what was said before each fault."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import __version__
from daemon.front.http.base import ApiHandler
from daemon.front.http.downloads import DownloadHandler
from daemon.front.push.page_state import counters_of, figures_of, protection_of
from daemon.http.errors import Refused
from daemon.own_memory import memory

if TYPE_CHECKING:
    from daemon.front.front import Front

FAULTS, SESSIONS = "faults", "sessions"
MOST = 100  # recordings in one list
TAIL = 400  # lines of a dialogue
LONGEST = 8 * 1024 * 1024  # bytes of a recording that is taken apart here; `nozzled replay` takes any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.jsonl\.gz", re.ASCII)


class HealthHandler(ApiHandler):
    """/api/health."""

    async def get(self) -> None:
        """Tell how all of it does."""
        service = self.service
        figures = await figures_of(service)
        machine, own, recordings = await asyncio.to_thread(_look, service)
        self.write(
            {
                "version": __version__,
                "link": {**counters_of(service), "figures": figures},
                "protection": protection_of(service),
                "trouble": service.core.trouble,
                "recordTrouble": service.core.record_trouble,
                "memory": {"core": figures and figures["memory"], "front": own},
                "machine": machine,
                "recording": bool(service.config.link.record),
                **recordings,
            }
        )


def _look(service: "Front") -> tuple[dict[str, Any], int | None, dict[str, list[dict[str, Any]]]]:
    """Return what the machine says, the bytes that this process has in use, and the recordings. Blocks."""
    from daemon.front import machine  # noqa: PLC0415 - most services are never asked

    folders = folders_of(service)
    return machine.describe(service.folder), memory(), {kind: list_recordings(each) for kind, each in folders.items()}


def folders_of(service: "Front") -> dict[str, Path]:
    """Return where the core keeps what was said on the line, by kind."""
    record = service.config.link.record
    found = {FAULTS: service.folder / FAULTS}
    return found | {SESSIONS: Path(record).expanduser()} if record else found


def list_recordings(folder: Path) -> list[dict[str, Any]]:
    """Return the recordings in a folder, newest first; none where it cannot be read. Blocks."""
    try:
        found = [(each.stat(), each.name) for each in folder.iterdir() if _NAME.fullmatch(each.name)]
    except OSError:
        return []
    found.sort(key=lambda each: (each[0].st_mtime_ns, each[1]), reverse=True)
    return [{"name": name, "size": stat.st_size, "date": int(stat.st_mtime)} for stat, name in found[:MOST]]


def _file(service: "Front", kind: str, name: str) -> Path:
    folder = folders_of(service).get(kind)
    if folder is None or not _NAME.fullmatch(name):
        raise Refused(404, "there is no such recording")
    return folder / name


class RecordingHandler(DownloadHandler):
    """/api/recordings/<kind>/<name>: the file, as `nozzled replay` takes it."""

    async def get(self, kind: str, name: str) -> None:  # type: ignore[override]  # two parts of the address
        """Send it."""
        await self.send_file(_file(self.service, kind, name), name)


class DialogueHandler(ApiHandler):
    """/api/recordings/<kind>/<name>/dialogue."""

    async def get(self, kind: str, name: str) -> None:
        """Tell what was said last."""
        self.write(await asyncio.to_thread(_dialogue, _file(self.service, kind, name)))


def _dialogue(file: Path) -> dict[str, Any]:
    """Return the last lines of a recording, for a person to read. Blocks.

    Raises:
        Refused: there is none, or it is too large.
        RecordingError: it is not a recording.
    """
    from hal import flight_recorder  # noqa: PLC0415 - as above
    from hal.errors import RecordingError  # noqa: PLC0415
    from hal.session_file import read  # noqa: PLC0415

    try:
        if file.stat().st_size > LONGEST:
            raise Refused(409, "this recording is too long to be shown here; `nozzled replay --show` shows it")
        session = read([file])
    except FileNotFoundError as error:
        raise Refused(404, "there is no such recording") from error
    except (OSError, RecordingError) as error:
        raise Refused(409, f"the recording cannot be read: {error}") from error
    lines = flight_recorder.lines(session.records)
    about = session.header
    return {"address": about.address, "date": about.date, "lines": lines[-TAIL:], "more": max(0, len(lines) - TAIL)}


def routes(given: dict[str, Any]) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """Return the addresses."""
    return [
        (r"/api/health", HealthHandler, given),
        (r"/api/recordings/([a-z]+)/([^/]+)", RecordingHandler, given),
        (r"/api/recordings/([a-z]+)/([^/]+)/dialogue", DialogueHandler, given),
    ]
