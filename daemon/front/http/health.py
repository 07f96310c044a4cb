"""/api/health and /api/recordings: the state of connection, service and machine; the dialogue before each fault."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import __version__
from daemon.config.home import expand_home
from daemon.front.http.base import ApiHandler
from daemon.front.http.downloads import DownloadHandler
from daemon.front.push.page_state import counters_of, figures_of, protection_of
from daemon.http.errors import Refused
from daemon.own_memory import read_memory

if TYPE_CHECKING:
    from daemon.front.front import Front

FAULTS, SESSIONS = "faults", "sessions"
MAX_RECORDINGS = 100  # in one list
MAX_LINES = 400  # of a dialogue
MAX_RECORDING = 8 * 1024 * 1024  # bytes of a recording that is parsed here; `nozzled replay` has no limit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.jsonl\.gz", re.ASCII)


class HealthHandler(ApiHandler):
    """/api/health."""

    async def get(self) -> None:
        """Show the state of everything."""
        service = self.service
        figures = await figures_of(service)
        machine, memory, recordings = await asyncio.to_thread(_read_state, service)
        self.write(
            {
                "version": __version__,
                "link": {**counters_of(service), "figures": figures},
                "protection": protection_of(service),
                "trouble": service.core.trouble,
                "recordTrouble": service.core.record_trouble,
                "memory": {"core": figures and figures["memory"], "front": memory},
                "machine": machine,
                "recording": bool(service.config.link.record),
                **recordings,
            }
        )


def _read_state(service: "Front") -> tuple[dict[str, Any], int | None, dict[str, list[dict[str, Any]]]]:
    """Return the machine's state, this process's memory in bytes, and the recordings. Blocks."""
    from daemon.front import machine  # noqa: PLC0415 - rarely requested

    folders = folders_of(service)
    return (
        machine.describe(service.folder),
        read_memory(),
        {kind: list_recordings(each) for kind, each in folders.items()},
    )


def folders_of(service: "Front") -> dict[str, Path]:
    """Return the folders of the core's recordings, by kind."""
    record = service.config.link.record
    folders = {FAULTS: service.folder / FAULTS}
    return folders | {SESSIONS: expand_home(record)} if record else folders


def list_recordings(folder: Path) -> list[dict[str, Any]]:
    """Return the recordings in a folder, newest first; none if it cannot be read. Blocks."""
    files = []
    with suppress(OSError):
        for each in folder.iterdir():
            with suppress(OSError):  # deleted in the meantime: the core keeps only the newest
                if _NAME.fullmatch(each.name):
                    files.append((each.stat(), each.name))
    files.sort(key=lambda each: (each[0].st_mtime_ns, each[1]), reverse=True)
    return [{"name": name, "size": stat.st_size, "date": int(stat.st_mtime)} for stat, name in files[:MAX_RECORDINGS]]


def _file(service: "Front", kind: str, name: str) -> Path:
    folder = folders_of(service).get(kind)
    if folder is None or not _NAME.fullmatch(name):
        raise Refused(404, "there is no such recording")
    return folder / name


class RecordingHandler(DownloadHandler):
    """/api/recordings/<kind>/<name>: the file, for `nozzled replay`."""

    async def get(self, kind: str, name: str) -> None:  # type: ignore[override]  # two parts of the address
        """Send the recording."""
        await self.send_file(_file(self.service, kind, name), name)


class DialogueHandler(ApiHandler):
    """/api/recordings/<kind>/<name>/dialogue."""

    async def get(self, kind: str, name: str) -> None:
        """Show the last lines of the dialogue."""
        self.write(await asyncio.to_thread(_dialogue, _file(self.service, kind, name)))


def _dialogue(file: Path) -> dict[str, Any]:
    """Return the last lines of a recording, for users. Blocks.

    Raises:
        Refused: there is no such recording, it cannot be read, or it is too large.
    """
    from hal import flight_recorder  # noqa: PLC0415 - as above
    from hal.errors import RecordingError  # noqa: PLC0415
    from hal.session_file import read  # noqa: PLC0415

    try:
        if file.stat().st_size > MAX_RECORDING:
            raise Refused(409, "this recording is too long to show here: use `nozzled replay --show`")
        session = read([file])
    except FileNotFoundError as error:
        raise Refused(404, "there is no such recording") from error
    except (OSError, RecordingError) as error:
        raise Refused(409, f"the recording cannot be read: {error}") from error
    lines = flight_recorder.to_lines(session.records)
    header, more = session.header, max(0, len(lines) - MAX_LINES)
    return {"address": header.address, "date": header.date, "lines": lines[-MAX_LINES:], "more": more}


def routes(arguments: dict[str, Any]) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """Return the routes of health and recordings."""
    return [
        (r"/api/health", HealthHandler, arguments),
        (r"/api/recordings/([a-z]+)/([^/]+)", RecordingHandler, arguments),
        (r"/api/recordings/([a-z]+)/([^/]+)/dialogue", DialogueHandler, arguments),
    ]
