"""Survival: how a job outlives its host or its connection.

Theory of operation. Only the printer knows for sure which line it has accepted. So the host does not write down how far
a print has got. It writes down what turns the printer's answer into a place in the file, and the next host asks the
printer. The next host may be this process itself, once the cable is plugged in again. There are two such records:

* The logbook (`hal.logbook`), in memory that outlives the process but not a reboot: the job's snapshot, and the last
  128 frames, each written before it is on the wire. Whatever line the printer asks for is among them.
* The place (`daemon.core.job.places`), on the disk, for a power cut: "after line 812 the file continues at byte
  30,112". Although it is written only every 5 s it is exact, because every line of the file adds one to the number. A
  command that is not a line of the file is noted before it is sent.

The boot id says which record counts. If the logbook is of this boot, it is newer than the disk. Otherwise the computer
has rebooted and its memory is lost, so the place on the disk counts (`stored_place`) until the printer has been asked.
Before that the job's snapshot is not written, or the next power cut would find it without a place.

Reattaching is one sequence, whatever the cause: open the port without a reset, ask for the line that is wanted, check
that it is the same printer (M115) and the same file (size, time, inode), return to the state in which the job was.
After a reboot the position of the head and the temperatures are checked too (`after_reboot`), unless the print was
paused.

If anything does not fit, an error is raised (`CannotReattach`, or the link's own, such as `PrinterReset`): the print is
INTERRUPTED and the heaters are turned off. It is better not to continue than to continue wrongly.
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
        kept_file: KeptFile,
        boot: str = "",
        disk: Disk | None = None,
    ) -> None:
        """Prepare.

        Args:
            connection: to the printer.
            logbook: the one to which the printers write.
            kept_file: keeps the job's file.
            boot: the id of this boot.
            disk: where the place is written, for a power cut; None: the place is not written.
        """
        self.kept_file = kept_file
        self.places = Places(disk, connection, logbook)
        self.stored_place: StoredPlace | None = None  # the place on the disk, until the printer has been asked
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
        """Write the job's snapshot. If it is too long for the logbook, the logbook is left empty."""
        if self.stored_place is not None and not job.state.ended:
            return  # so far only the disk has the place, so it must not be overwritten
        job.snapshot.boot = self._boot
        job.snapshot.ending = job.ending(asyncio.get_running_loop().time())
        self._logbook.write(dump(job.snapshot))
        self.places.keep(job)

    def note_heaters_off(self) -> None:
        """Note that the heaters of the last job, which has ended, are off."""
        if snapshot := self._logbook.read():
            self._logbook.write(with_heaters_off(snapshot))
        self.places.note_heaters_off()

    async def snapshot(self) -> JobSnapshot | None:
        """Return the snapshot that the previous host left; None: it left no job.

        Raises:
            CannotReattach: it left an unfinished job that cannot continue.
        """
        stored, content = await self.places.snapshot(), self._logbook.read()
        if stored is not None and not self._is_of_this_boot(content):
            return self._snapshot_of(stored)
        if not content:
            return None
        snapshot = load(content)
        if snapshot is None:
            raise CannotReattach("its job snapshot cannot be read: another version of nozzled began the print")
        if snapshot.ending is None and snapshot.boot != self._boot:
            raise CannotReattach("the computer rebooted during the print")
        return snapshot

    def _is_of_this_boot(self, content: Mapping[str, Any] | None) -> bool:
        """Tell whether the logbook is of this boot, and therefore newer than the disk.

        A logbook that says how the job ended counts in any case: the place on the disk may not have been removed in
        time.
        """
        return content is not None and (content.get("boot") == self._boot or bool(content.get("ending")))

    def _snapshot_of(self, stored: StoredPlace) -> JobSnapshot:
        """Return the snapshot on the disk, with its times moved to this boot's clock."""
        snapshot = load(stored.snapshot)
        if snapshot is None:
            raise CannotReattach("its note on the disk cannot be read: another version of nozzled began the print")
        if stored.unknown_reason is not None:
            raise CannotReattach(f"the computer rebooted during the print, and {stored.unknown_reason}")
        if self._connection.config.job.after_reboot == "safe":
            raise CannotReattach('the computer rebooted during the print (job.after_reboot = "safe")')
        # the time without power does not count as printing
        elapsed = asyncio.get_running_loop().time() - stored.written_at
        snapshot.started += elapsed
        if snapshot.paused_at is not None:
            snapshot.paused_at += elapsed
        snapshot.boot = self._boot
        self.stored_place = stored
        return snapshot

    def obstacle(self, job: Job) -> str | None:
        """Return why the job cannot be reattached after losing its connection or host; None: it can."""
        # Klipper's tty and Teacup count no lines (klipper.txt, teacup-lines.txt)
        if not recognise(job.snapshot.name).counts_lines:
            return f"{job.snapshot.name} does not count lines, so its last line is not known"
        if job.snapshot.file is None or job.state.ended:
            return "the print had not begun"
        if self.stored_place is None and self._logbook.snapshot() is None:
            return "what was sent last is not known"
        return None

    async def reattach(self, job: Job) -> LinkSnapshot | None:
        """Reattach to the job's printer; return the snapshot of the conversation, None: only the disk has the place.

        Raises:
            CannotReattach: why the job cannot continue.
            NozzledError: the port does not come back, or another printer answers.
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
        job.printer = await asyncio.shield(self._connection.reattach(address, link, identity, job.losses))
        return link

    def continue_from(self, job: Job, fed: JobPlace, modes: Modes) -> None:
        """Set the place from which the job is to continue; the printer's checks follow, and then `keep_in_logbook`."""
        job.printer.set_place(fed, modes)
        job.snapshot.first_line = 1
        job.lines, job.offset = fed.lines, fed.offset

    def keep_in_logbook(self) -> None:
        """From now on keep the job in the logbook too; a host that finds it there checks nothing, and asks no user."""
        self.stored_place = None

    async def _reattach_from_disk(self, job: Job, stored: StoredPlace) -> None:
        """Reattach without a logbook: the printer says which line it wants, the disk says what that means."""
        # N99999999 is answered by `Resend: 5` (marlin-2.1-plain-lines.txt, prusa-3.13.3-lines.txt)
        self.places.reattach(job, stored)
        estimate = LinkEstimate(stored.number, modes_of(stored.modes))
        snapshot = job.snapshot
        job.lines, job.offset = stored.lines, stored.offset
        job.printer = await asyncio.shield(
            self._connection.reattach(snapshot.address, estimate, snapshot.identity, job.losses)
        )
        if (latest := self.places.latest).is_known:
            self.stored_place = latest  # an attempt that lost its connection sent commands that are not the file's
