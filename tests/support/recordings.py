"""Conversations between the real driver and a simulated printer, recorded in files."""

import asyncio
from collections import deque
from dataclasses import asdict

from gcode.outgoing import job_line
from hal.driver import LinePrinter, LinkSettings
from hal.recorder import Recorder, RecordingFolder, RecordingTransport, describe
from hal.session_file import EVENT, HOST, PRINTER, Record, RecordedSession, SessionHeader, read
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from support.transcripts import experiments, to_bytes

NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC


def transcript(name) -> RecordedSession:
    """Return a recorded dialogue as a session; its experiments follow each other in one conversation."""
    records = [Record(0.0, EVENT, b"open")]
    for _, entries in experiments(name):
        began = records[-1].time  # some experiments count from zero again
        for is_sent, text, seconds in entries:
            records.append(Record(max(began, seconds), HOST if is_sent else PRINTER, to_bytes(text)))
    return RecordedSession(SessionHeader("2026-11-22T12:00:00+00:00", "serial:/dev/ttyACM0", 115200, "0.1.0"), records)


class JobSource:
    """The lines of a job."""

    def __init__(self, commands):
        self._lines = deque(map(job_line, range(len(commands)), commands))

    def next_line(self):
        return self._lines.popleft() if self._lines else None


class RecordedPrinter:
    """A recorded printer; `async with` opens and closes it."""

    def __init__(self, folder, firmware=None, settings=None, simulated=SimulatedTransport):
        settings = settings or LinkSettings()
        self.folder = folder
        self.simulated = simulated(Firmware(firmware or FirmwareConfig()))
        about = describe("sim", self.simulated.baudrate, NOON, "0", asdict(settings))
        self.recorder = Recorder(RecordingFolder(folder), about)
        transport = RecordingTransport(self.simulated, self.recorder, asyncio.get_running_loop().time)
        self.printer = LinePrinter(transport, settings)

    async def __aenter__(self):
        await self.printer.open()
        return self

    async def __aexit__(self, *_):
        await self.printer.close()
        self.recorder.join()

    async def print(self, commands):
        self.printer.feed(JobSource(commands))
        await self.printer.wait_until_acknowledged()

    def session(self) -> RecordedSession:
        """Return the recording, after the end."""
        return read(sorted(self.folder.glob("session-*")))
