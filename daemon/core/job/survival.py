"""Survival: how a job outlives its host, or its line.

Theory of operation. Only the printer knows for sure which line it has accepted. So the host does not write down how far
a print has got. It writes down what turns the printer's answer into a place in the file, and the next host asks the
printer. The next host may be this very process, once the cable is back. There are two such records:

* The logbook (`hal.logbook`), in memory that outlives the process but not a reboot: the job's snapshot, and the last
  128 frames, each written before it is on the wire. Whatever line the printer asks for is among them.
* The place (`daemon.core.job.places`), on the disk, for a power cut: "after line 812 the file continues at byte
  30,112". It is written every 5 s and still exact, because every line of the file adds one to the number. A command
  that is not a line of the file is noted before it is sent.

The boot id says which one counts. If the logbook is of this boot, it is newer than the disk. If not, the machine
has rebooted and its memory is lost; then the place on the disk counts (`stored_place`) until the printer has been
asked. Until then nothing is written, or the next power cut would find a snapshot without a place.

Reattaching is one sequence, whatever the cause: open the port without a reset, ask for the line that is wanted, check
that it is the same printer (M115) and the same file (size, time, inode), return to the state that was left. After a
reboot the head and the heat are checked as well (`after_reboot`).

Whatever does not fit raises `CannotReattach`: the print is INTERRUPTED and the heaters are turned off. A wrong
continuation is worse than none.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.core.connection.connection import Connection
from daemon.core.job.job import Job
from daemon.core.job.job_snapshot import JobSnapshot, dump, load, with_heaters_off
from daemon.core.job.kept_file import KeptFile
from daemon.core.job.parking import modes_of
from daemon.core.job.places import Disk, Places, StoredPlace
from daemon.errors import CannotReattach
from gcode.dialect import recognise
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.modes import Modes
from gcode.outgoing import JobPlace
from hal.logbook import Logbook


class Survival:
    """Writes what the next host needs, and reattaches from it."""

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
            logbook: the one that the printers write to.
            kept: keeps the job's file.
            boot: the id of this boot of the machine.
            disk: where the place is written, for a power cut; None: nowhere.
        """
        self.kept = kept
        self.places = Places(disk, connection, logbook)
        self.stored_place: StoredPlace | None = None  # the place on the disk, while nothing else is known of the job
        self._connection = connection
        self._logbook = logbook
        self._boot = boot

    def begin(self, job: Job) -> None:
        """Begin to record a new job; the records of the previous one are dropped."""
        self._logbook.write({})
        self.stored_place = None  # of a print that could not continue
        job.snapshot.first_line = job.printer.next_number
        self._logbook.begin_job()
        self.places.begin(job)

    def keep(self, job: Job) -> None:
        """Write the job's snapshot. One that is too long for the logbook leaves it empty."""
        if self.stored_place is not None and not job.state.ended:
            return  # so far only the disk has the place: do not overwrite it
        job.snapshot.boot = self._boot
        job.snapshot.ending = job.ending(asyncio.get_running_loop().time())
        self._logbook.write(dump(job.snapshot))
        self.places.keep(job)

    def note_heaters_off(self) -> None:
        """Note that the heaters of the last job, which has ended, are off."""
        if snapshot := self._logbook.read():
            self._logbook.write(with_heaters_off(snapshot))

    async def snapshot(self) -> JobSnapshot | None:
        """Return the snapshot that the previous host left; None: there was no job.

        Raises:
            CannotReattach: there was an unfinished job, and it cannot continue.
        """
        stored, content = await self.places.snapshot(), self._logbook.read()
        if stored is not None and not self._of_this_boot(content):
            return self._snapshot_of(stored)
        if not content:
            return None
        snapshot = load(content)
        if snapshot is None:
            raise CannotReattach("its job snapshot cannot be read: another version of nozzled began the print")
        if snapshot.ending is None and snapshot.boot != self._boot:
            raise CannotReattach("the computer rebooted during the print")
        return snapshot

    def _of_this_boot(self, content: Mapping[str, Any] | None) -> bool:
        """Tell whether the logbook is of this boot, and therefore newer than the disk.

        One that says how the job ended counts in any case: the note on the disk may not have been removed in time.
        """
        return content is not None and (content.get("boot") == self._boot or bool(content.get("ending")))

    def _snapshot_of(self, stored: StoredPlace) -> JobSnapshot:
        """Return the snapshot on the disk, its times moved to this boot's clock."""
        snapshot = load(stored.snapshot)
        if snapshot is None:
            raise CannotReattach("its note on the disk cannot be read: another version of nozzled began the print")
        if stored.why is not None:
            raise CannotReattach(f"the computer rebooted during the print, and {stored.why}")
        if self._connection.config.job.after_reboot == "safe":
            raise CannotReattach("the computer rebooted during the print (job.after_reboot is safe)")
        passed = asyncio.get_running_loop().time() - stored.clock  # the time without power does not count as printing
        snapshot.started += passed
        if snapshot.paused_at is not None:
            snapshot.paused_at += passed
        snapshot.boot = self._boot
        self.stored_place = stored
        return snapshot

    def obstacle(self, job: Job) -> str | None:
        """Return why the job cannot be reattached after losing its line or host; None: it can."""
        # Klipper's tty and Teacup count no lines (klipper.txt, teacup-lines.txt)
        if not recognise(job.snapshot.name).numbered:
            return f"{job.snapshot.name} does not count lines, so its last line is not known"
        if job.snapshot.file is None or job.state.ended:
            return "the print had not begun"
        if self.stored_place is None and self._logbook.snapshot() is None:
            return "what was sent last is not known"
        return None

    async def reattach(self, job: Job) -> LinkSnapshot | None:
        """Reattach to the job's printer; return the snapshot of the conversation, None: the place is on the disk only.

        Raises:
            CannotReattach: why the job cannot continue.
            NozzledError: the line does not come back, or another printer answers.
        """
        if self.stored_place is not None:
            await self._reattach_from_disk(job, self.stored_place)
            return None
        link = self._logbook.snapshot()
        if link is None:
            raise CannotReattach("what was sent last is not known")
        self.places.reattach(job)
        if link.last < job.snapshot.first_line:  # nothing of this job has been sent yet
            link = replace(link, fed=JobPlace(), place=JobPlace())
        job.lines, job.offset = link.place.lines, link.place.offset
        address, identity = job.snapshot.address, job.snapshot.identity
        job.printer = await asyncio.shield(self._connection.reattach(address, link, identity))
        return link

    def continue_from(self, job: Job, fed: JobPlace, modes: Modes) -> None:
        """Set the place from which the job continues, once the printer has passed its checks (`settle`)."""
        job.printer.feed_from(fed, modes)
        job.snapshot.first_line = 1
        job.lines, job.offset = fed.lines, fed.offset

    def settle(self) -> None:
        """From now on keep the job in the logbook too: a host that finds it there checks and asks nothing."""
        self.stored_place = None

    async def _reattach_from_disk(self, job: Job, stored: StoredPlace) -> None:
        """Reattach without a logbook: the printer says which line it wants, the disk what that means."""
        self.places.reattach(job, stored)
        estimate = LinkEstimate(stored.number, modes_of(stored.modes))
        snapshot = job.snapshot
        job.lines, job.offset = stored.lines, stored.offset
        job.printer = await asyncio.shield(self._connection.reattach(snapshot.address, estimate, snapshot.identity))
        if (latest := self.places.latest).claims:
            self.stored_place = latest  # an attempt that lost its line has sent commands that are no lines of the file
