"""The resources of the API: job, files, printer, connection and so on, one class each."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from daemon.client.body import FormBody, ShowProgress, as_unicode
from daemon.client.caller import Caller
from daemon.client.errors import BadAnswer, FileChanged, RequestRefused
from daemon.client.exchange import HttpAnswer
from daemon.client.shapes import (
    ConnectionInformation,
    FileEntry,
    FileList,
    JobInformation,
    Origin,
    PrinterInformation,
    UploadAnswer,
)

_MIN_RATE = 32 * 1024  # bytes/s; a slower upload counts as stalled
_GRACE_S = 60.0  # added to the time that an upload takes at this rate
PIECE = 8 * 1024 * 1024  # bytes of a file that are downloaded in one answer
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_READ_TIMEOUT = 1000.0  # a small board needs minutes to read a large file


class _Resource:
    """The base class: it has the connection to the server."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller


class JobClient(_Resource):
    """The print job. Commands return when they are accepted; the printer may need a while, as the state shows.

    Every command raises Conflict if it does not fit the state.
    """

    async def get(self) -> JobInformation:
        """Return the print and its progress."""
        return cast("JobInformation", await self._caller.get("/api/job"))

    async def start(self, *, force: bool = False, key: str | None = None) -> None:
        """Print the selected file.

        Args:
            force: print it even if the checks refuse it.
            key: at most one print starts for this key.
        """
        await self._caller.command("/api/job", "start", force=force or None, job=key)

    async def cancel(self) -> None:
        """End the print."""
        await self._command("cancel")

    async def restart(self) -> None:
        """Start a paused print again from its beginning."""
        await self._command("restart")

    async def pause(self) -> None:
        """Pause the print; does nothing if it is paused."""
        await self._command("pause", "pause")

    async def resume(self) -> None:
        """Resume a paused print; does nothing if it runs."""
        await self._command("pause", "resume")

    async def toggle_pause(self) -> None:
        """Pause a running print, resume a paused one."""
        await self._command("pause", "toggle")

    async def _command(self, command: str, action: str | None = None) -> None:
        await self._caller.command("/api/job", command, action=action)


class QueueClient(_Resource):
    """The queue, which only nozzled has; each method but `add` returns the whole queue."""

    async def get(self) -> dict[str, Any]:
        """Return the whole queue."""
        return cast("dict[str, Any]", await self._caller.get("/api/queue"))

    async def add(self, path: str, **fields: Any) -> dict[str, Any]:
        """Add a file; return its entry.

        Args:
            path: of the file.
            fields: `copies`, `notes`, `material`, `force`, `front`; `job`, a key for which at most one entry is added.
        """
        return await self._command("add", path=path, **fields)

    async def change(self, entry: int, **fields: Any) -> dict[str, Any]:
        """Change `copies`, `notes`, `material` or `force` of an entry."""
        return await self._command("change", id=entry, **fields)

    async def move(self, entry: int, to: int) -> dict[str, Any]:
        """Move an entry to another index; 0 is the first."""
        return await self._command("move", id=entry, to=to)

    async def remove(self, entry: int) -> dict[str, Any]:
        """Remove an entry."""
        return await self._command("remove", id=entry)

    async def retry(self, entry: int) -> dict[str, Any]:
        """Let a skipped entry wait again."""
        return await self._command("retry", id=entry)

    async def clear(self) -> dict[str, Any]:
        """Remove all entries that are not being printed."""
        return await self._command("clear")

    async def bed(self, *, clear: bool = True) -> dict[str, Any]:
        """Say whether the bed is clear; the next print starts only when a user has confirmed that it is."""
        return await self._command("bed", clear=clear)

    async def pause(self) -> dict[str, Any]:
        """Start no further print."""
        return await self._command("pause")

    async def resume(self) -> dict[str, Any]:
        """Start prints from the queue again."""
        return await self._command("resume")

    async def _command(self, command: str, **parameters: Any) -> dict[str, Any]:
        arguments = {name: value for name, value in parameters.items() if value is not None}
        return cast("dict[str, Any]", await self._caller.post("/api/queue", {"command": command, **arguments}))


class HistoryClient(_Resource):
    """Past prints, which only nozzled has. Filters: `state`, `path`, `q`, `material`, `from`, `to`, `key`."""

    async def list(self, **filters: str) -> dict[str, Any]:
        """Return `jobs`, newest first, and `next`, the value of `before` for more. Also takes `limit`."""
        return cast("dict[str, Any]", await self._caller.get("/api/history", filters))

    async def totals(self, **filters: str) -> dict[str, Any]:
        """Return totals `by` month, material, state, printer or path."""
        return cast("dict[str, Any]", await self._caller.get("/api/history/totals", filters))

    async def note(self, number: int, notes: str) -> None:
        """Replace the notes of a print."""
        await self._caller.command(f"/api/history/{number}", "note", notes=notes)

    async def csv(self, **filters: str) -> str:
        """Return a table of all matching prints."""
        return (await self._caller.fetch("/api/history.csv", filters)).decode()


class ResumeAtClient(_Resource):
    """Continues the last print, which ended early, at a place in its file; only nozzled has it."""

    async def propose(
        self, *, layer: int | None = None, height: float | None = None, line: int | None = None
    ) -> dict[str, Any]:
        """Return a proposal with its `token`; the default place is the layer in which the print ended.

        Raises:
            Conflict: the print cannot be continued, or not at that place; the text says why.
        """
        places = {"layer": layer, "height": height, "line": line}
        arguments = {name: value for name, value in places.items() if value is not None}
        answer = await self._caller.post("/api/resume-at", {"command": "propose", **arguments}, _READ_TIMEOUT)
        return cast("dict[str, Any]", answer)

    async def start(self, token: str, *, force: bool = False) -> dict[str, Any]:
        """Print the rest as proposed; return its file."""
        data = {"command": "start", "token": token, **({"force": True} if force else {})}
        return cast("dict[str, Any]", await self._caller.post("/api/resume-at", data, _READ_TIMEOUT))


class FilesClient(_Resource):
    """The uploads; paths are those of the list, like `parts/cube.gcode`."""

    async def list(self, origin: Origin | None = None, *, recursive: bool = False) -> FileList:
        """Return files and folders, of one storage or of all; with `recursive` also the contents of folders."""
        path = f"/api/files/{origin}" if origin else "/api/files"
        return cast("FileList", await self._caller.get(path, {"recursive": "true"} if recursive else None))

    async def get(self, path: str, origin: Origin = "local") -> FileEntry:
        """Return one file or folder."""
        return cast("FileEntry", await self._caller.get(_entry(path, origin)))

    async def upload(  # noqa: PLR0913 - all but the file have defaults, and are given by name
        self,
        source: Path | bytes,
        *,
        name: str = "",
        folder: str = "",
        select: bool = False,
        start: bool = False,
        force: bool = False,
        overwrite: bool = True,
        plate: int | None = None,
        date: float | None = None,
        progress: ShowProgress | None = None,
    ) -> UploadAnswer:
        """Upload a file; a failed upload is not retried once bytes may have arrived.

        Args:
            source: the file, or its bytes.
            name: its name on the server; required for bytes.
            folder: its folder; created if necessary.
            select: select the file, if the printer is free.
            start: print it, if the printer is free; if not, the answer says why (`notPrinted`).
            force: print it even if the checks refuse it.
            overwrite: replace a file of this name; otherwise raise Conflict.
            plate: the plate of a .gcode.3mf.
            date: Unix time of its last change, in s; only nozzled uses it.
            progress: called with the number of bytes sent, and the total.

        Raises:
            OSError: the file cannot be read.
            ClientError: the upload failed, or was refused.
        """
        if not name and isinstance(source, bytes):
            raise ValueError("bytes need a name")
        flags = {"select": select, "print": start, "force": force, "noOverwrite": not overwrite}
        fields = {"path": folder} if folder else {}
        fields |= {field: "true" for field, value in flags.items() if value}
        if plate is not None:
            fields["plate"] = str(plate)
        if date is not None:
            fields["modified"] = f"{date:.6f}"
        form = FormBody(fields, source, name or cast("Path", source).name, progress)
        answer = await self._caller.send_form("/api/files/local", form, _GRACE_S + form.length / _MIN_RATE)
        return cast("UploadAnswer", answer)

    async def make_folder(self, path: str) -> None:
        """Make a folder and its parents; it may exist."""
        await self._caller.send_fields("/api/files/local", {"foldername": path})

    async def thumbnail(self, path: str, size: tuple[int, int] | None = None) -> bytes:
        """Return a file's thumbnail as PNG, of this width and height or the largest one; NotFound if there is none."""
        query = {"size": f"{size[0]}x{size[1]}"} if size else None
        return await self._caller.fetch(f"/downloads/thumbnails/local/{_quoted(path)}", query)

    async def download(self, path: str) -> bytes:
        """Return the contents of a file; raises what `pieces` does."""
        return b"".join([piece async for piece in self.pieces(path)])

    async def pieces(self, path: str) -> AsyncIterator[bytes]:
        """Yield the contents of a file piece by piece, as a file may be larger than an answer or the memory.

        Raises:
            FileChanged: the file was changed meanwhile.
        """
        address = f"/downloads/files/local/{_quoted(path)}"
        received, size, version = 0, 1, None
        while received < size:
            try:
                answer = await self._caller.fetch_range(address, received, PIECE, _GRACE_S + PIECE / _MIN_RATE)
            except RequestRefused as error:
                if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or received:
                    raise
                return  # an empty file has no bytes from 0 on
            size = _size_of_file(answer, received)
            now = size, answer.headers.get("etag")
            if version not in (None, now):
                raise FileChanged(f"{path} was changed while it was downloaded: download it again")
            version = now
            yield answer.body
            received += len(answer.body)

    async def select(
        self, path: str, origin: Origin = "local", *, start: bool = False, force: bool = False, touches: bool = False
    ) -> None:
        """Select the file that `job.start` prints.

        Args:
            path: of the file.
            origin: its storage.
            start: print it at once.
            force: print it even if the checks refuse it.
            touches: confirms that the nozzle touches the part; else a file with the rest of a print is refused.
        """
        arguments = {"print": start, "force": force or None, "touches": touches or None}
        await self._caller.command(_entry(path, origin), "select", **arguments)

    async def unselect(self) -> None:
        """Select no file."""
        await self._caller.command("/api/files/local/current", "unselect")

    async def copy(self, path: str, destination: str) -> FileEntry:
        """Copy a file or folder into a folder, or to a new path; return the result."""
        return cast("FileEntry", await self._caller.command(_entry(path), "copy", destination=destination))

    async def move(self, path: str, destination: str) -> FileEntry:
        """Move a file or folder into a folder, or to a new path; return the result."""
        return cast("FileEntry", await self._caller.command(_entry(path), "move", destination=destination))

    async def delete(self, path: str, origin: Origin = "local") -> None:
        """Delete a file, or a folder with its contents."""
        await self._caller.delete(_entry(path, origin))


class PrinterClient(_Resource):
    """Heaters, axes and commands.

    Without a printer, all methods raise Conflict, except `send` with an M112 or a command that ends a halt.
    """

    async def get(self, *, exclude: Sequence[str] = (), history: int | None = None) -> PrinterInformation:
        """Return temperatures, SD card and state.

        Args:
            exclude: parts to leave out: temperature, sd, state; of nozzled also safety.
            history: how many past temperature reports to add.
        """
        query = {"exclude": ",".join(exclude)} if exclude else {}
        if history is not None:
            query |= {"history": "true", "limit": str(history)}
        return cast("PrinterInformation", await self._caller.get("/api/printer", query))

    async def heat(self, targets: Mapping[str, float]) -> None:
        """Set targets in °C by heater: tool0, tool1, …, bed, chamber; 0 is off. Stops at the first refusal."""
        tools = {name: target for name, target in targets.items() if name.startswith("tool")}
        if tools:
            await self._caller.command("/api/printer/tool", "target", targets=tools)
        for name in targets.keys() - tools.keys():
            await self._caller.command(f"/api/printer/{quote(name, safe='')}", "target", target=targets[name])

    async def home(self, axes: Sequence[str] = ("x", "y", "z")) -> None:
        """Move these axes to their origin."""
        await self._caller.command("/api/printer/printhead", "home", axes=list(axes))

    async def jog(
        self,
        *,
        x: float | None = None,
        y: float | None = None,
        z: float | None = None,
        absolute: bool = False,
        speed: float | None = None,
    ) -> None:
        """Move the head by these distances, or to these coordinates, in mm; `speed` in mm/min."""
        await self._caller.command("/api/printer/printhead", "jog", x=x, y=y, z=z, absolute=absolute, speed=speed)

    async def extrude(self, amount: float, speed: float | None = None) -> None:
        """Extrude filament, in mm; a negative amount retracts it."""
        await self._caller.command("/api/printer/tool", "extrude", amount=amount, speed=speed)

    async def select_tool(self, tool: str) -> None:
        """Select a tool, like tool1."""
        await self._caller.command("/api/printer/tool", "select", tool=tool)

    async def feed_rate(self, percent: float) -> None:
        """Set the speed of all moves, in percent; it is rounded, as the API would read a fraction as a factor."""
        await self._caller.command("/api/printer/printhead", "feedrate", factor=round(percent))

    async def flow_rate(self, percent: float) -> None:
        """Set the flow of filament, in percent; it is rounded, as the API would read a fraction as a factor."""
        await self._caller.command("/api/printer/tool", "flowrate", factor=round(percent))

    async def send(self, *commands: str) -> None:
        """Send G-code commands; all are sent, or none."""
        await self._caller.post("/api/printer/command", {"commands": list(commands)})


class ConnectionClient(_Resource):
    """The connection to the printer."""

    async def get(self) -> ConnectionInformation:
        """Return the current connection, and the possible ones."""
        return cast("ConnectionInformation", await self._caller.get("/api/connection"))

    async def connect(self, port: str | None = None, baudrate: int | None = None) -> None:
        """Start connecting, to the preferred printer by default; this takes some seconds."""
        await self._caller.command("/api/connection", "connect", port=port, baudrate=baudrate)

    async def disconnect(self) -> None:
        """Disconnect from the printer; this ends a print."""
        await self._caller.command("/api/connection", "disconnect")


class CompanionsClient(_Resource):
    """The companions: power, timelapse, notify and so on. Those that are not switched on raise NotFound."""

    async def get(self, name: str) -> dict[str, Any]:
        """Return a companion's last `state`, and whether it is `away`."""
        return cast("dict[str, Any]", await self._caller.get(f"/api/companions/{name}"))

    async def ask(self, name: str, do: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a request to a companion; return its answer."""
        return await self._caller.post(f"/api/companions/{name}/ask", {"do": do, "with": dict(arguments or {})})


def _size_of_file(answer: HttpAnswer, first: int) -> int:
    """Return the size of the file of which the answer has a range from byte `first` on, or the whole.

    Raises:
        BadAnswer: it is another range.
    """
    if answer.status != HTTPStatus.PARTIAL_CONTENT and not first:
        return len(answer.body)
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if match is None or int(match[1]) != first or not answer.body:
        raise BadAnswer(f"the answer is not the range of bytes from {first} on")
    return int(match[2])


def _entry(path: str, origin: Origin = "local") -> str:
    return f"/api/files/{origin}/{_quoted(path.strip('/'))}"


def _quoted(path: str) -> str:
    return quote(as_unicode(path))
