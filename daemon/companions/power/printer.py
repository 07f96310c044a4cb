"""Reads the current state of the printer, and the age of its values, with one request."""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from daemon.client import ClientError, Conflict, OctoPrintClient
from daemon.companions.power.rules import HeaterReading, PrinterReading

TOLERANCE_S = 0.5  # by which two estimates of the same moment may differ
BUSY_FLAGS = ("printing", "paused", "pausing", "resuming", "cancelling", "finishing")
FAULT_TEXT = "Offline after error"
TIMEOUT = 5.0  # s


class PrinterWatch:
    """Reads the printer's state, and remembers the times of the last command and temperature report."""

    def __init__(self, client: OctoPrintClient) -> None:
        self._client = client
        self._commanded_at: float | None = None
        self._heat: tuple[Mapping[str, HeaterReading], float | None] = ({}, None)  # the last report, and its loop time
        self.latest = PrinterReading()

    async def read(self) -> PrinterReading:
        """Return the printer's state; it is unknown if there is no valid answer."""
        try:
            async with asyncio.timeout(TIMEOUT):
                self.latest = await self._read()
        except (ClientError, TimeoutError, TypeError, ValueError, AttributeError, KeyError):
            self.latest = PrinterReading()
        return self.latest

    async def _read(self) -> PrinterReading:
        now = asyncio.get_running_loop().time()
        try:
            answer: Mapping[str, Any] = await self._client.get("/api/printer?exclude=sd,safety")
        except Conflict:
            return await self._read_unconnected()
        flags, age = answer["state"]["flags"], answer.get("age", {})
        heaters = {str(name): _heater(each) for name, each in answer["temperature"].items()}
        if (at := _time_of_age(now, age.get("temperature"))) is not None:
            self._heat = heaters, at
        return PrinterReading(
            is_known=True,
            is_ready=bool(flags["operational"]),
            is_busy=any(flags[name] for name in BUSY_FLAGS),
            text=str(answer["state"]["text"]),
            heaters=heaters,
            heaters_at=at,
            commanded_at=self._last_command(_time_of_age(now, age.get("command"))),
        )

    async def _read_unconnected(self) -> PrinterReading:
        """Return the state while no printer is connected; it is unknown while the core is away."""
        job = await self._client.get("/api/job")
        text = str(job["state"])
        is_known = not (text == "Offline" and job.get("error"))
        fault = str(job.get("error") or "") if text.startswith(FAULT_TEXT) else ""
        return PrinterReading(
            is_known=is_known, text=text, heaters=self._heat[0], heaters_at=self._heat[1], fault=fault
        )

    def _last_command(self, at: float | None) -> float | None:
        """Return the loop time of the last command.

        It is computed from an age, so it varies a little from answer to answer: up to TOLERANCE_S is ignored.
        """
        if at is not None and (self._commanded_at is None or at > self._commanded_at + TOLERANCE_S):
            self._commanded_at = at
        return self._commanded_at if at is not None else None


def _time_of_age(now: float, age: object) -> float | None:
    return now - age if isinstance(age, int | float) and math.isfinite(age) else None


def _heater(reading: Mapping[str, Any]) -> HeaterReading:
    return HeaterReading(_number(reading.get("actual")), _number(reading.get("target")))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
