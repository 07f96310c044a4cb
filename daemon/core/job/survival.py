"""Survival: how a job outlives its host, or its line.

Theory of operation. Only the printer knows for sure which line it has accepted. So the host does not write down how far
a print has got. It writes down what turns the printer's answer into a place in the file, and the next host asks the
printer. The next host may be this very process, once the cable is back. There are two such records:

* The logbook (`hal.logbook`), in memory that outlives the process but not the machine: the job's snapshot, and the last
  128 frames, each written before it is on the wire. Whatever line the printer asks for is among them.
* The place (`daemon.core.job.places`), on the disk, for a machine that was switched off: "behind line 812 goes the
  file, from byte 30,112 on". It is written every 5 s and still exact, because every line of the file adds one to the
  number. A command that is no line of the file is noted before it is sent.

The boot id says which one counts. If the logbook is of this boot, it is newer than the disk. If not, the machine
has rebooted and its memory is lost; then the place on the disk counts until the printer was asked (`stored_place`).
Until then nothing is written, or the next power cut would find a snapshot without a place.

Reattaching is one sequence, whatever the cause: open the port without a reset, ask for the line that is wanted, check
that it is the same printer (M115) and the same file (size, time, inode), return to the state that was left. After a
reboot the head and the heat are checked as well (`after_reboot`).

Whatever does not fit raises `CannotGoOn`: the print is INTERRUPTED and the heaters are turned off. A wrong
continuation is worse than none.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.bridge.words import JobState
from daemon.core.connection.connection import Connection
from daemon.core.job.job import Job
from daemon.core.job.job_snapshot import JobSnapshot, dump, load, with_heaters_off
from daemon.core.job.kept import KeptFile
from daemon.core.job.parking import modes_of
from daemon.core.job.places import Disk, Places, StoredPlace
from daemon.errors import CannotGoOn
from gcode.dialect import recognise
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.modes import Modes
from gcode.outgoing import JobPosition
from hal.logbook import Logbook


class Survival:
    """What one host leaves to the next."""

    def __init__(
        self,
        connection: Connection,
        logbook: Logbook,
        kept: KeptFile,
        boot: str = "",
        disk: Disk | None = None,
    ) -> None:
        """Prepare.

        Args:
            connection: where printers are.
            logbook: that its printers write to.
            kept: keeps the job's file.
            boot: the id of this boot of the machine.
            disk: where the place is kept, for a machine that is switched off; None: nowhere.
        """
        self.kept = kept
        self.places = Places(disk, connection, logbook)
        self.stored_place: StoredPlace | None = None  # the place on the disk, while it is all that is known of the job
        self._connection = connection
        self._logbook = logbook
        self._boot = boot

    def begin(self, job: Job) -> None:
        """Begin to keep a new job; what was kept of the one before is dropped."""
        self._logbook.write({})
        job.snapshot.first_line = job.printer.next_number
        self._logbook.begin_job()
        self.places.begin(job)

    def keep(self, job: Job) -> None:
        """Write the job's snapshot; one that is too long leaves none."""
        if self.stored_place is not None and not job.state.ended:
            return  # only the disk knows its place yet: leave that alone
        job.snapshot.boot = self._boot
        job.snapshot.ending = job.ending(asyncio.get_running_loop().time())
        self._logbook.write(dump(job.snapshot))
        self.places.keep(job)

    def note_heaters_off(self) -> None:
        """Note that the heaters of the last job, which does not go on, are off."""
        if snapshot := self._logbook.read():
            self._logbook.write(with_heaters_off(snapshot))

    async def snapshot(self) -> JobSnapshot | None:
        """Return the snapshot that the previous host left; None: there was no job.

        Raises:
            CannotGoOn: there was one that had not ended, and it cannot go on.
        """
        stored, content = await self.places.snapshot(), self._logbook.read()
        if stored is not None and not self._of_this_boot(content):
            return self._snapshot_of(stored)
        if not content:
            return None
        snapshot = load(content)
        if snapshot is None:
            raise CannotGoOn("its job snapshot cannot be read: another version of nozzled began the print")
        if snapshot.ending is None and snapshot.boot != self._boot:
            raise CannotGoOn("the computer rebooted during the print")
        return snapshot

    def _of_this_boot(self, content: Mapping[str, Any] | None) -> bool:
        """Tell whether the logbook knows better than the disk."""
        return content is not None and (content.get("boot") == self._boot or bool(content.get("ending")))

    def _snapshot_of(self, stored: StoredPlace) -> JobSnapshot:
        """Return the snapshot of the job that the disk knows, in the time of this boot."""
        snapshot = load(stored.page)
        if snapshot is None:
            raise CannotGoOn("its note on the disk cannot be read: another version of nozzled began the print")
        if stored.why is not None:
            raise CannotGoOn(f"the computer rebooted during the print, and {stored.why}")
        if self._connection.config.job.after_reboot == "safe":
            raise CannotGoOn("the computer rebooted during the print (job.after_reboot is safe)")
        passed = asyncio.get_running_loop().time() - stored.clock  # what it was switched off for is no time of printing
        snapshot.started += passed
        if snapshot.paused_at is not None:
            snapshot.paused_at += passed
        snapshot.boot = self._boot
        self.stored_place = stored
        return snapshot

    def obstacle(self, job: Job) -> str | None:
        """Return why the job could not go on without its line; None: it can."""
        # Klipper's tty and Teacup count no lines (klipper.txt, teacup-lines.txt)
        if not recognise(job.snapshot.name).numbered:
            return f"{job.snapshot.name} does not count lines, so its last line is not known"
        if job.snapshot.file is None or job.state not in _SURVIVE:
            return "the print had not begun"
        if self._logbook.snapshot() is None:
            return "what was sent last is not known"
        return None

    async def reattach(self, job: Job) -> LinkSnapshot | None:
        """Reattach to the job's printer; return where the conversation with it was left, None: only the disk knows.

        Raises:
            CannotGoOn: the job cannot go on; says why.
            NozzledError: the line does not come back, or what answers there does not fit.
        """
        if self.stored_place is not None:
            await self._ask_again(job, self.stored_place)
            return None
        link = self._logbook.snapshot()
        if link is None:
            raise CannotGoOn("what was sent last is not known")
        self.places.reattach(job)
        if link.last < job.snapshot.first_line:  # nothing of this job has been sent yet
            link = replace(link, fed=JobPosition(), position=JobPosition())
        job.lines, job.offset = link.position.lines, link.position.offset
        address, identity = job.snapshot.address, job.snapshot.identity
        job.printer = await asyncio.shield(self._connection.reattach(address, link, identity))
        return link

    def continue_from(self, job: Job, fed: JobPosition, modes: Modes) -> None:
        """Set the place from which the job goes on; from now on the logbook knows it too."""
        job.printer.feed_from(fed, modes)
        job.snapshot.first_line = 1
        job.lines, job.offset = fed.lines, fed.offset
        self.stored_place = None

    async def _ask_again(self, job: Job, stored: StoredPlace) -> None:
        """Reattach by asking the printer how far it is, as the logbook is lost."""
        self.places.reattach(job, stored)
        estimate = LinkEstimate(stored.number, modes_of(stored.modes))
        snapshot = job.snapshot
        job.lines, job.offset = stored.lines, stored.offset
        job.printer = await asyncio.shield(self._connection.reattach(snapshot.address, estimate, snapshot.identity))


_SURVIVE = frozenset(state for state in JobState if not state.ended)
