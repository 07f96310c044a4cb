"""PortNote: notes the port of the printer, for the helper that turns heaters off if the daemon cannot be started.

The helper (`systemd/safe_off.py`) runs without the daemon's Python environment, because that may be what is broken. The
next daemon reads from the note which board was connected, and at which baudrate.
"""

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import msgspec

from daemon.core.connection.connection import Connection
from daemon.set_aside import make_way
from hal.ports import UsbDevice
from hal.printer import ConnectionState, Event, StateChanged
from hal.registry import parse

FILE = "line.json"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""Errors of reading the note: the front can write to the note's folder, so the file may hold anything."""


class PortNote:
    """Writes the note in a thread, whenever a serial printer is connected or its profile changes."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        """Prepare; `folder` is the state directory, which has the note."""
        self._connection = connection
        self._path = folder / FILE
        self._writing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()  # two threads that write at once would leave half a note, or the older one

    def follow(self) -> None:
        """Pass the content of the note to the connection; from now on write a new note whenever something changes."""
        connection = self._connection
        connection.subscribe(self._on_event)
        connection.on_profile(self._on_profile)
        make_way(self._path, "the port of the printer is not known", os.R_OK)
        with suppress(*UNREADABLE):  # there is no note, or another version has written it
            if not self._path.is_file():  # reading a pipe would block the start
                return
            note = json.loads(self._path.read_text())
            device = msgspec.convert(note.get("device") or None, UsbDevice | None)
            connection.remember(str(note["means"]), int(note["baudrate"]), device)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged) and event.new is ConnectionState.READY:
            self._write_soon()

    def _on_profile(self) -> None:
        if self._connection.ready:
            self._write_soon()

    def _write_soon(self) -> None:
        self._writing = asyncio.create_task(self._write_note())

    async def _write_note(self) -> None:
        async with self._lock:
            await self._write_current()

    async def _write_current(self) -> None:
        printer = self._connection.printer
        address = parse(printer.address) if printer is not None else None
        if printer is None or address is None:
            return
        if address.scheme != "serial":  # by now, another printer may be at the noted port
            with suppress(OSError):
                await asyncio.to_thread(self._path.unlink, missing_ok=True)
            return
        device = self._connection.device
        profile = self._connection.profile
        content = {
            "port": self._connection.stable_port or address.target,
            "means": address.target,
            "device": asdict(device) if device is not None else None,
            "baudrate": printer.baudrate,
            "extruders": profile.hotends,
            "chamber": profile.heated_chamber,
        }
        with suppress(OSError):  # the disk is full: the helper falls back to the configuration
            await asyncio.to_thread(self._write, json.dumps(content))

    def _write(self, text: str) -> None:
        temporary = self._path.with_suffix(".new")
        make_way(temporary, "the port of the printer is noted again", os.W_OK)
        temporary.write_text(text)
        temporary.replace(self._path)  # so the note is never half written
