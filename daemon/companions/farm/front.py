"""FrontPrinter: the agent's printer, through the public API of the printer's service."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from daemon.client import ClientError, OctoPrintClient
from daemon.client.errors import NotFound, RequestRefused
from daemon.client.push import Message
from daemon.companions.farm.printer import (
    FarmFile,
    JobMark,
    OutcomeState,
    PrinterDeclined,
    PrinterSnapshot,
    PrinterUnreachable,
    PrintOutcome,
    StartRefused,
)
from daemon.companions.front_state import FrontState
from daemon.farm.messages import Heat, Tool

FOLDER = "farm"
MAX_SILENCE_S = 15.0  # without a message from the service, after which the printer's state is unknown
CHECK_TIMEOUT = 900.0  # for the check of a file
CHECK_INTERVAL = 1.0  # between two questions whether the check is done
COMMAND_DEADLINE_S = 8.0  # after which the service ignores a command: after 10 s the user is told that it failed
MAX_NAME = 120  # characters of a file's name
CONFLICT, TOO_LATE, NO_ROOM, SERVER_ERROR = 409, 408, 507, 500  # HTTP status
MAX_TOOLS = 16
SUFFIXES = (".gcode", ".gco", ".g", ".bgcode", ".gz", ".3mf")
SUBSCRIPTION = {"page": True, "state": False, "plugins": False, "events": []}
OUTCOMES: dict[str, OutcomeState] = {"completed": "done", "cancelled": "cancelled"}

Answered = TypeVar("Answered")


class PrinterConflict(PrinterDeclined):
    """The printer's state or the analysis of the file forbids this (status 409)."""


class NoSuchPrinterFile(PrinterDeclined):
    """The printer has no such file (status 404)."""


class PushListener(Protocol):
    """Yields the push messages of the service, for ever; `Companion.messages`."""

    def __call__(self, subscription: Mapping[str, Any] | None = None) -> AsyncIterator[Message]:
        """Return the messages."""


class FrontPrinter:
    """The agent's printer, through its service (PrinterApi)."""

    def __init__(self, client: OctoPrintClient, messages: PushListener, wall: Callable[[], float]) -> None:
        self._client, self._messages, self._wall = client, messages, wall
        self._values = FrontState()
        self._heard_at = float("-inf")  # loop time of the last message
        self.on_change: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Follow the printer until cancelled."""
        async for message in self._messages(SUBSCRIPTION):
            if message.kind != "page" or not isinstance(message.payload, dict):
                continue
            self._heard_at = asyncio.get_running_loop().time()
            if self._values.take(message.payload):
                self.on_change()

    def look(self) -> PrinterSnapshot:
        """Return the state of the printer, as far as it is known."""
        if asyncio.get_running_loop().time() - self._heard_at > MAX_SILENCE_S:
            return PrinterSnapshot(reason="the printer's service does not answer")
        values = self._values
        reason = self._why_not_idle()
        progress = values.get("job.progress") or {}
        active = values.get("job.active") is True
        return PrinterSnapshot(
            is_known=True,
            is_idle=not reason,
            reason=reason,
            state=_text(values.get("printer.text")),
            bed_clear=(values.get("queue.bed") or {}).get("clear") is True,
            is_printing=active or (values.get("job.file") or {}).get("origin") == "sdcard",
            key=_text(values.get("job.key")) if active else "",
            file=_text((values.get("job.file") or {}).get("name")) if active else "",
            progress=progress.get("completion") if active else None,
            remaining_s=progress.get("left") if active else None,
            heaters=tuple(
                (str(name), Heat(each.get("actual"), each.get("target")))
                for name, each in (values.get("printer.heaters") or {}).items()
            ),
            size=_size(values),
            hottest=float(values.get("profile.maxHotend") or 0.0),
            name=_text(values.get("server.name")),
            version=_text(values.get("server.version")),
            camera=values.get("server.camera") is True,
            tools=_spools(values),
        )

    def _why_not_idle(self) -> str:
        """Return why no print can begin; empty: one can."""
        values = self._values
        if values.get("job.active"):
            return f"it prints {(values.get('job.file') or {}).get('name') or 'another file'}"
        if values.get("printer.state") != "ready":
            return f"the printer is not ready: {values.get('printer.error') or values.get('printer.text') or 'unknown'}"
        if (values.get("job.file") or {}).get("origin") == "sdcard":
            return "it prints from its own SD card"
        if values.get("queue.next") and not values.get("queue.paused"):
            return "its own queue has something to print"
        return ""

    def path_for(self, file: FarmFile) -> str:
        """Return the path to upload a file to: the hash in it makes it unique, the name is for users."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", file.name.rpartition("/")[2])[-MAX_NAME:].lstrip("._-") or "part"
        if not name.lower().endswith(SUFFIXES):
            name = f"{name}.gcode"
        return f"{FOLDER}/{file.sha256[:12]}-{name}"

    async def has_file(self, printer_path: str, sha1: str, size: int) -> bool:
        """Tell whether the printer has exactly this file at this path."""
        try:
            entry = await self._ask(self._client.files.get(printer_path))
        except PrinterDeclined:
            return False
        return (entry.get("hash"), entry.get("size")) == (sha1, size)

    async def upload(self, path: Path, file: FarmFile) -> str:
        """Upload a file, and return its path at the printer; raises PrinterDeclined."""
        folder, _, name = self.path_for(file).rpartition("/")
        answer = await self._ask(self._client.files.upload(path, name=name, folder=folder))
        return str(answer["files"]["local"]["path"])

    async def find_objections(self, printer_path: str) -> str:
        """Return why the file at this path should not be printed; empty: nothing is known against it.

        A check that takes longer than CHECK_TIMEOUT is not waited for.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + CHECK_TIMEOUT
        url = f"/api/files/local/{quote(printer_path)}"
        while True:
            try:
                answer = await self._ask(self._client.post(url, {"command": "check"}))
            except PrinterConflict as error:
                return str(error)
            if answer["known"] or loop.time() > end:
                return ""
            await asyncio.sleep(CHECK_INTERVAL)

    async def get_newest_job(self) -> JobMark | None:
        """Return the newest job in the printer's record; None: the record is empty."""
        return _mark((await self._ask_for_print("-", None))["last"])  # no print has the key "-"

    async def start(self, printer_path: str, key: str, within: float) -> None:
        """Print a file on the clear bed, once for each key, and not later than `within` seconds from now.

        Raises:
            StartRefused: the print has not begun.
        """
        command = {"command": "select", "print": True, "bedClear": True, "job": key}
        try:
            await self._command(f"/api/files/local/{quote(printer_path)}", command, within)
        except PrinterDeclined as error:
            raise StartRefused(str(error)) from error

    async def get_outcome(self, key: str, job_before: JobMark | None) -> PrintOutcome | None:
        """Return the outcome of the print with this key; None: no such print was ever requested."""
        if self.look().key == key:
            return PrintOutcome("printing")
        answer = await self._ask_for_print(key, job_before)
        if (recorded := answer["print"]) is None:
            is_same_record = job_before is not None and _mark(answer["behind"]) == job_before
            return None if is_same_record else PrintOutcome("doubtful")
        reason = _text(recorded["reason"])
        if not recorded["ended"]:
            return PrintOutcome("printing")
        if not recorded["began"]:
            return PrintOutcome("unbegun", reason or "the printer's service ended before the print began")
        state = OUTCOMES.get(recorded["state"], "failed")
        entry = await self._history_entry(key)
        return PrintOutcome(
            state,
            reason or (recorded["state"] if state == "failed" else ""),
            float(entry.get("printTime") or 0.0),
            float(entry.get("filamentLength") or 0.0),
        )

    async def _ask_for_print(self, key: str, job_before: JobMark | None) -> Mapping[str, Any]:
        query = f"key={quote(key, safe='')}" + (
            f"&behind={job_before.id}" if job_before is not None and job_before.id > 0 else ""
        )
        answer: Mapping[str, Any] = await self._ask(self._client.get(f"/api/job/keyed?{query}"))
        return answer

    async def _history_entry(self, key: str) -> Mapping[str, Any]:
        """Return a print's entry in the history; empty: there is none, or the history cannot be read now."""
        try:
            jobs = (await self._ask(self._client.history.list(key=key, limit="1")))["jobs"]
        except (PrinterDeclined, PrinterUnreachable):
            return {}
        return jobs[0] if jobs else {}

    async def cancel(self, key: str) -> None:
        """Cancel the print with this key; raises PrinterDeclined."""
        if self.look().key != key:
            raise PrinterDeclined("this print is not under way")
        await self._command("/api/job", {"command": "cancel"})

    async def turn_heaters_off(self) -> None:
        """Turn off the heaters that are on; raises PrinterDeclined."""
        heating = [name for name, heat in self.look().heaters if heat.target]
        if tools := {name: 0.0 for name in heating if name.startswith("tool")}:
            await self._command("/api/printer/tool", {"command": "target", "targets": tools})
        for name in heating:
            if name not in tools:
                await self._command(f"/api/printer/{quote(name, safe='')}", {"command": "target", "target": 0.0})

    async def pause(self) -> None:
        """Pause the print; raises PrinterDeclined."""
        await self._command("/api/job", {"command": "pause", "action": "pause"})

    async def resume(self) -> None:
        """Resume the print; raises PrinterDeclined."""
        await self._command("/api/job", {"command": "pause", "action": "resume"})

    async def confirm_bed_clear(self) -> None:
        """Confirm that the bed is clear; raises PrinterDeclined."""
        await self._command("/api/queue", {"command": "bed", "clear": True})

    async def take_picture(self) -> bytes:
        """Return a picture from the camera (JPEG); raises PrinterDeclined."""
        return await self._ask(self._client.fetch("/webcam/?action=snapshot"))

    async def remove(self, printer_path: str) -> None:
        """Delete the file at this path, if there is one; raises PrinterDeclined while it is being printed."""
        with suppress(NoSuchPrinterFile):
            await self._ask(self._client.files.delete(printer_path))

    async def _command(self, path: str, command: Mapping[str, Any], within: float = COMMAND_DEADLINE_S) -> None:
        """Send a command that the service ignores after `within` seconds, when a user may have done something else."""
        headers = {"Nozzled-Until": f"{self._wall() + within:.3f}"}
        await self._ask(self._client.post(path, command, headers))

    async def _ask(self, question: Awaitable[Answered]) -> Answered:
        try:
            return await question
        except NotFound as error:
            raise NoSuchPrinterFile(error.text) from error
        except RequestRefused as error:
            if error.status == NO_ROOM or (error.status < SERVER_ERROR and error.status != TOO_LATE):
                kind = PrinterConflict if error.status == CONFLICT else PrinterDeclined
                raise kind(error.text) from error
            raise PrinterUnreachable(f"the printer's service: {error.text}") from error
        except ClientError as error:
            raise PrinterUnreachable(f"the printer's service does not answer: {error}") from error


def _mark(job: Mapping[str, Any] | None) -> JobMark | None:
    return JobMark(int(job["id"]), float(job["started"])) if job is not None else None


def _spools(values: Mapping[str, Any]) -> tuple[Tool, ...]:
    """Return filament (from Spoolman, through the companion `notify`) and nozzle (from the profile) of each tool."""
    state = (values.get("companions.notify") or {}).get("state") or {}
    spools = (state.get("spoolman") or {}).get("tools") or ()
    nozzle = float(values.get("profile.nozzle") or 0.0) if values.get("profile.configured") else 0.0
    tools: dict[int, Tool] = {}
    for each in spools:
        spool, number = each.get("spool"), each.get("tool")
        if isinstance(spool, dict) and isinstance(number, int) and 0 <= number < MAX_TOOLS:
            tools[number] = Tool(_text(spool.get("material")), _text(spool.get("color") or spool.get("colour")), nozzle)
    return tuple(tools.get(number, Tool(nozzle_mm=nozzle)) for number in range(max(tools, default=0) + 1))


def _size(values: Mapping[str, Any]) -> tuple[float, float, float] | None:
    size = tuple(values.get(f"profile.{side}") for side in ("width", "depth", "height"))
    return (float(size[0]), float(size[1]), float(size[2])) if all(size) else None  # type: ignore[arg-type]  # not None


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
