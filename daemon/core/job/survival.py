"""Survival: how a job outlives its host, or its line.

While a job goes on, the logbook holds its page and the frames sent. The host that comes next, be it this one after the
cable was back, takes the line over, asks the printer which line it accepted last, and goes on behind it. Whatever does
not fit is a reason to stop: a wrong continuation is worse than none.
"""

import asyncio
from dataclasses import replace

from daemon.bridge.words import JobState
from daemon.core.connection.connection import Connection
from daemon.core.job.job import Job
from daemon.core.job.kept import KeptFile
from daemon.core.job.page import Page, made_cold, read, written
from daemon.errors import CannotGoOn
from gcode.dialect import recognise
from gcode.flight import Left
from gcode.outgoing import Position
from hal.logbook import Logbook


class Survival:
    """What one host leaves to the next."""

    def __init__(self, connection: Connection, logbook: Logbook, kept: KeptFile, boot: str = "") -> None:
        """Prepare.

        Args:
            connection: where printers are.
            logbook: that its printers write to.
            kept: keeps the job's file.
            boot: what tells one boot of this machine from another.
        """
        self.kept = kept
        self._connection = connection
        self._logbook = logbook
        self._boot = boot

    def begin(self, job: Job) -> None:
        """Count the job's lines from here; the one before is history."""
        self._logbook.write({})
        job.page.first_line = job.printer.next_number
        self._logbook.begin_job()

    def keep(self, job: Job) -> None:
        """Write the job's page; one that is too long leaves none."""
        job.page.boot = self._boot
        job.page.ending = job.ending(asyncio.get_running_loop().time())
        self._logbook.write(written(job.page))

    def made_cold(self) -> None:
        """Note that the printer of the last job, which does not go on, is cold."""
        if page := self._logbook.read():
            self._logbook.write(made_cold(page))

    def page(self) -> Page | None:
        """Return the page that another host has left; None: there was no job.

        Raises:
            CannotGoOn: there was one that had not ended, and it cannot go on.
        """
        content = self._logbook.read()
        if not content:
            return None
        page = read(content)
        if page is None:
            raise CannotGoOn("what it has left cannot be read, another version of the service had begun it")
        if page.ending is None and page.boot != self._boot:
            raise CannotGoOn("the machine was started anew in the middle of the print")
        return page

    def obstacle(self, job: Job) -> str | None:
        """Return why the job could not go on without its line; None: it can."""
        if not recognise(job.page.name).numbered:
            return f"{job.page.name} counts no lines, so nobody can tell which was the last one"
        if job.page.file is None or job.state not in _SURVIVE:
            return "the print had not begun"
        if self._logbook.left() is None:
            return "what was sent last is not known"
        return None

    async def come_back(self, job: Job) -> Left:
        """Get the job's printer back; return where the conversation with it was left.

        Raises:
            CannotGoOn: it cannot; says why.
            NozzledError: the line does not come back, or what answers there does not fit.
        """
        left = self._logbook.left()
        if left is None:
            raise CannotGoOn("what was sent last is not known")
        if left.sent[-1][0] < job.page.first_line:  # nothing of this job has been sent yet
            left = replace(left, fed=Position(), position=Position())
        job.lines, job.offset = left.position.lines, left.position.offset
        page = job.page
        job.printer = await asyncio.shield(self._connection.come_back(page.address, left, page.identity))
        return left


_SURVIVE = frozenset(state for state in JobState if not state.ended)
