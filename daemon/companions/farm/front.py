"""The real printer beside the agent: its service, over the API that any client uses."""

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
    PrinterUnreachable,
    PrintOutcome,
    SeenPrinter,
    StartRefused,
)
from daemon.farm.messages import Heat, Tool

FOLDER = "farm"
OLD = 15.0  # s without a word of the service: nobody knows how the printer is
ANALYSIS = 900.0  # s that the check of a file may take
AT_ONCE = 8.0  # s that a command may take to be begun; whoever gave it is told at 10 that it failed
ASKED = 1.0  # s between two questions whether it is done
LONGEST = 120  # characters of a file's name
CONFLICT, TOO_LATE, NO_ROOM, SERVERS_OWN = 409, 408, 507, 500  # answers of HTTP
MOST_TOOLS = 16
SUFFIXES = (".gcode", ".gco", ".g", ".bgcode", ".gz", ".3mf")
SUBSCRIPTION = {"page": True, "state": False, "plugins": False, "events": []}
OUTCOMES: dict[str, OutcomeState] = {"completed": "done", "cancelled": "cancelled"}

Answered = TypeVar("Answered")


class PrinterObjects(PrinterDeclined):
    """It does not fit: the printer's state, or what is known of the file."""


class NotThere(PrinterDeclined):
    """There is no such file."""


class PushListener(Protocol):
    """Yields what the service tells, for ever; `Companion.messages`."""

    def __call__(self, subscription: Mapping[str, Any] | None = None) -> AsyncIterator[Message]:
        """Return the messages."""


class FrontPrinter:
    """A printer by its service; a PrinterApi."""

    def __init__(self, client: OctoPrintClient, messages: PushListener, wall: Callable[[], float]) -> None:
        self._client, self._messages, self._wall = client, messages, wall
        self._told: dict[str, Any] = {}
        self._heard = float("-inf")
        self.on_change: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Follow the printer until cancelled."""
        async for message in self._messages(SUBSCRIPTION):
            if message.kind != "page" or not isinstance(message.payload, dict):
                continue
            self._heard = asyncio.get_running_loop().time()
            if isinstance(whole := message.payload.get("all"), dict):
                parts = [(part, values) for part, values in whole.items() if isinstance(values, dict)]
                self._told = {f"{part}.{name}": value for part, values in parts for name, value in values.items()}
            elif isinstance(changed := message.payload.get("set"), dict):
                self._told.update(changed)
            else:
                continue
            self.on_change()

    def look(self) -> SeenPrinter:
        """Return how it is, as far as is known."""
        if asyncio.get_running_loop().time() - self._heard > OLD:
            return SeenPrinter(reason="the printer's service does not answer")
        told = self._told
        reason = self._reason()
        progress = told.get("job.progress") or {}
        active = told.get("job.active") is True
        return SeenPrinter(
            known=True,
            idle=not reason,
            reason=reason,
            state=_text(told.get("printer.text")),
            bed_clear=(told.get("queue.bed") or {}).get("clear") is True,
            printing=active or (told.get("job.file") or {}).get("origin") == "sdcard",
            key=_text(told.get("job.key")) if active else "",
            file=_text((told.get("job.file") or {}).get("name")) if active else "",
            progress=progress.get("completion") if active else None,
            remaining_s=progress.get("left") if active else None,
            heaters=tuple(
                (str(name), Heat(each.get("actual"), each.get("target")))
                for name, each in (told.get("printer.heaters") or {}).items()
            ),
            size=_size(told),
            hottest=float(told.get("profile.maxHotend") or 0.0),
            name=_text(told.get("server.name")),
            version=_text(told.get("server.version")),
            camera=told.get("server.camera") is True,
            tools=_spools(told),
        )

    def _reason(self) -> str:
        """Return why nothing can begin; nothing: something can."""
        told = self._told
        if told.get("job.active"):
            return f"it prints {(told.get('job.file') or {}).get('name') or 'something of its own'}"
        if told.get("printer.state") != "ready":
            return f"the printer is not ready: {told.get('printer.error') or told.get('printer.text') or 'unknown'}"
        if (told.get("job.file") or {}).get("origin") == "sdcard":
            return "it prints from its own memory card"
        queue = {name: told.get(f"queue.{name}") for name in ("paused", "length", "next")}
        if queue["next"] and not queue["paused"]:
            return "its own queue has something to print"
        return ""

    def where(self, file: FarmFile) -> str:
        """Return the place it is given: the name is for people, what tells it from others is the hash."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", file.name.rpartition("/")[2])[-LONGEST:].lstrip("._-") or "part"
        if not name.lower().endswith(SUFFIXES):
            name = f"{name}.gcode"
        return f"{FOLDER}/{file.sha256[:12]}-{name}"

    async def has(self, where: str, sha1: str, size: int) -> bool:
        """Tell whether this very file lies there."""
        try:
            found = await self._ask(self._client.files.get(where))
        except PrinterDeclined:
            return False
        return (found.get("hash"), found.get("size")) == (sha1, size)

    async def put(self, path: Path, file: FarmFile) -> str:
        """Upload a file and return where it lies; raises PrinterDeclined."""
        folder, _, name = self.where(file).rpartition("/")
        answer = await self._ask(self._client.files.upload(path, name=name, folder=folder))
        return str(answer["files"]["local"]["path"])

    async def objections(self, where: str) -> str:
        """Return what speaks against printing a file there; nothing: it can be printed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + ANALYSIS
        while True:
            try:
                found = await self._ask(self._client.post(f"/api/files/local/{quote(where)}", {"command": "check"}))
            except PrinterObjects as error:
                return str(error)
            if found["known"] or loop.time() > end:
                return ""
            await asyncio.sleep(ASKED)

    async def mark(self) -> JobMark | None:
        """Return the newest job of the record; None: there is none."""
        return _mark((await self._keyed("-", None))["last"])

    async def start(self, where: str, key: str, within: float) -> None:
        """Print a file on the clear bed, once for each key; behind `within` s it does not begin any more.

        Raises:
            StartRefused: it has not begun.
        """
        asked = {"command": "select", "print": True, "bedClear": True, "job": key}
        try:
            await self._at_once(f"/api/files/local/{quote(where)}", asked, within)
        except PrinterDeclined as error:
            raise StartRefused(str(error)) from error

    async def outcome(self, key: str, behind: JobMark | None) -> PrintOutcome | None:
        """Return what became of the print with this key; None: it has never been asked for."""
        if self.look().key == key:
            return PrintOutcome("printing")
        told = await self._keyed(key, behind)
        if (found := told["print"]) is None:
            is_same = behind is not None and _mark(told["behind"]) == behind
            return None if is_same else PrintOutcome("doubtful")
        reason = _text(found["reason"])
        if not found["ended"]:
            return PrintOutcome("printing")
        if not found["began"]:
            return PrintOutcome("unbegun", reason or "the printer's service ended before the print began")
        state = OUTCOMES.get(found["state"], "failed")
        used = await self._used(key)
        return PrintOutcome(
            state,
            reason or (found["state"] if state == "failed" else ""),
            float(used.get("printTime") or 0.0),
            float(used.get("filamentLength") or 0.0),
        )

    async def _keyed(self, key: str, behind: JobMark | None) -> Mapping[str, Any]:
        query = f"key={quote(key, safe='')}" + (f"&behind={behind.id}" if behind is not None and behind.id > 0 else "")
        told: Mapping[str, Any] = await self._ask(self._client.get(f"/api/job/keyed?{query}"))
        return told

    async def _used(self, key: str) -> Mapping[str, Any]:
        """Return what the history has of a print; nothing where it has none of it."""
        try:
            jobs = (await self._ask(self._client.history.list(key=key, limit="1")))["jobs"]
        except (PrinterDeclined, PrinterUnreachable):
            return {}
        return jobs[0] if jobs else {}

    async def cancel(self, key: str) -> None:
        """End the print with this key, if it is the one that goes on; raises PrinterDeclined."""
        if self.look().key != key:
            raise PrinterDeclined("it is not what is printed")
        await self._at_once("/api/job", {"command": "cancel"})

    async def cool(self) -> None:
        """Turn off what heats; raises PrinterDeclined."""
        heating = [name for name, heat in self.look().heaters if heat.target]
        if tools := {name: 0.0 for name in heating if name.startswith("tool")}:
            await self._at_once("/api/printer/tool", {"command": "target", "targets": tools})
        for name in heating:
            if name not in tools:
                await self._at_once(f"/api/printer/{quote(name, safe='')}", {"command": "target", "target": 0.0})

    async def pause(self) -> None:
        """Pause what is printed; raises PrinterDeclined."""
        await self._at_once("/api/job", {"command": "pause", "action": "pause"})

    async def resume(self) -> None:
        """Go on with it; raises PrinterDeclined."""
        await self._at_once("/api/job", {"command": "pause", "action": "resume"})

    async def clear_bed(self) -> None:
        """Say that the bed is clear; raises PrinterDeclined."""
        await self._at_once("/api/queue", {"command": "bed", "clear": True})

    async def picture(self) -> bytes:
        """Return a JPEG of it; raises PrinterDeclined."""
        return await self._ask(self._client.fetch("/webcam/?action=snapshot"))

    async def remove(self, where: str) -> None:
        """Delete a file that lies there, if one does; raises PrinterDeclined where it is printed."""
        with suppress(NotThere):
            await self._ask(self._client.files.delete(where))

    async def _at_once(self, path: str, command: Mapping[str, Any], within: float = AT_ONCE) -> None:
        """Give a command that is not done any more behind this time: somebody may have done something else by then."""
        until = {"Nozzled-Until": f"{self._wall() + within:.3f}"}
        await self._ask(self._client.post(path, command, until))

    async def _ask(self, question: Awaitable[Answered]) -> Answered:
        try:
            return await question
        except NotFound as error:
            raise NotThere(error.text) from error
        except RequestRefused as error:
            if error.status == NO_ROOM or (error.status < SERVERS_OWN and error.status != TOO_LATE):
                kind = PrinterObjects if error.status == CONFLICT else PrinterDeclined
                raise kind(error.text) from error
            raise PrinterUnreachable(f"the printer's service: {error.text}") from error
        except ClientError as error:
            raise PrinterUnreachable(f"the printer's service does not answer: {error}") from error


def _mark(told: Mapping[str, Any] | None) -> JobMark | None:
    return JobMark(int(told["id"]), float(told["started"])) if told is not None else None


def _spools(told: Mapping[str, Any]) -> tuple[Tool, ...]:
    """Return what Spoolman says of the tools, as the companion `notify` passes it on."""
    state = (told.get("companions.notify") or {}).get("state") or {}
    seen = (state.get("spoolman") or {}).get("tools") or ()
    nozzle = float(told.get("profile.nozzle") or 0.0) if told.get("profile.configured") else 0.0
    tools: dict[int, Tool] = {}
    for each in seen:
        spool, number = each.get("spool"), each.get("tool")
        if isinstance(spool, dict) and isinstance(number, int) and 0 <= number < MOST_TOOLS:
            tools[number] = Tool(_text(spool.get("material")), _text(spool.get("color") or spool.get("colour")), nozzle)
    return tuple(tools.get(number, Tool(nozzle_mm=nozzle)) for number in range(max(tools, default=0) + 1))


def _size(told: Mapping[str, Any]) -> tuple[float, float, float] | None:
    size = tuple(told.get(f"profile.{side}") for side in ("width", "depth", "height"))
    return (float(size[0]), float(size[1]), float(size[2])) if all(size) else None  # type: ignore[arg-type]  # not None


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
