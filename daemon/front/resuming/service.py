"""Resuming: proposals of how the last print goes on, and the rest of its file among the uploads.

A proposal is of one file, and of one place in it; whoever says yes to it by its token gets that and nothing else. There
is one print that can go on, the last: the part of any other is not on the bed any more.
"""

import asyncio
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from daemon.errors import FileExists, JobConflict, NoSuchFile, NoSuchPlace
from daemon.front.resuming.place import LIFT, PRIME
from daemon.front.resuming.proposal import POWER_LOSS, Proposal, ResumeTarget, warnings
from daemon.front.resuming.worker import Find, in_process
from daemon.front.uploads.filenames import translated
from daemon.front.uploads.tree import TreeEntry
from gcode.frozen import frozen

if TYPE_CHECKING:
    from daemon.front.front import Front

EXPIRES = 1800.0  # s for a yes; the printer heats up behind it
MOST = 8  # proposals that wait for one
MOST_NAMES = 99
LOOKED = 2.0  # s that the record of prints is waited for

_BLOCK = 256 * 1024  # bytes
_ENDED_WELL = "completed"
_REST = re.compile(r"-from-(?:layer|line)-\d{1,9}(?:-\d{1,2})?\Z")


@frozen
class _Offer:
    """A proposal that may be taken.

    Attributes:
        path: of the file, among the uploads.
        job: the number of the print.
        proposal: what is proposed.
        until: when it is over, by the loop.
        rest: what was written of it; None: nothing yet.
    """

    path: str
    job: int
    proposal: Proposal
    until: float
    rest: TreeEntry | None = None


class Resuming:
    """What can be done about the last print. `find` is replaced by tests."""

    def __init__(self, front: "Front") -> None:
        self.find: Find = in_process
        self._front = front
        self._offers: OrderedDict[str, _Offer] = OrderedDict()
        self._turn = asyncio.Semaphore(1)  # a process takes a processor

    # -- proposing -----------------------------------------------------------------------------------------

    async def propose(self, wanted: ResumeTarget | None, number: int | None = None) -> dict[str, Any]:
        """Return how the last print may go on; `token` says yes to it.

        Args:
            wanted: where; None: in the layer in which it has ended.
            number: of the print that is meant.

        Raises:
            JobConflict: that is not the last one, it has completed, or a print is going on.
            NoSuchFile: its file is gone.
            NoSuchPlace: its file is another one by now, or nobody can go on there.
        """
        front = self._front
        job, entry = await self._last(number)
        if wanted is None:
            wanted = ResumeTarget(offset=_known_offset(job))
        path = front.files.resolve(entry.path)
        async with self._turn:
            proposal = await self.find(path, wanted, await front.analyses.printer())
        if not _is(entry, proposal.size, proposal.mtime_ns):
            raise NoSuchPlace(f"{entry.path} has changed: ask again")
        token = self._keep(_Offer(entry.path, job["id"], proposal, asyncio.get_running_loop().time() + EXPIRES))
        return {"token": token, **self._as_json(job, proposal), "file": _rest_of(entry.path, proposal)}

    def _as_json(self, job: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
        """Return what somebody has to know for a yes."""
        names = ("id", "name", "path", "state", "ended", "reason", "lines", "offset", "filamentLength")
        reached = job["layersDone"] or None
        return {
            "expires": int(EXPIRES),
            "print": {**{name: job[name] for name in names}, "layer": reached},
            "layer": proposal.layer,
            "layers": proposal.layers,
            "line": proposal.line,
            "offset": proposal.offset,
            "height": proposal.height,
            "top": proposal.top,
            "highest": proposal.highest,
            "at": proposal.at,
            "temperatures": proposal.temperatures,
            "extruded": proposal.extruded,
            "lift": round(proposal.highest - proposal.top + LIFT, 3),
            "prime": PRIME,
            "sequence": list(proposal.sequence),
            "warnings": warnings(proposal, self._front.config.scripts, reached),
            "hint": POWER_LOSS,
        }

    async def _last(self, number: int | None) -> tuple[dict[str, Any], TreeEntry]:
        """Return the last print, which has ended early, and its file, which is as it was."""
        front = self._front
        self._require_no_print()
        await front.history.refresh(LOOKED)
        if (found := await front.history.last()) is None:
            raise JobConflict("nothing was printed yet")
        job, mtime_ns = found
        path = job["path"]
        if number is not None and number != job["id"]:
            raise JobConflict(
                f"print {number} is not the last one, that is {job['id']} ({path}): its part is on the bed"
            )
        if job["ended"] is None:
            raise JobConflict(f"{path} is being printed")
        if job["state"] == _ENDED_WELL:
            raise JobConflict(f"the last print, {path}, has completed: there is nothing to resume")
        try:
            entry = await front.files.info(path)
        except NoSuchFile as error:
            raise NoSuchFile(
                f"{path} is not there any more: upload it again, and use nozzled resume-at FILE"
            ) from error
        if entry.type == "folder" or not _is(entry, job["size"], mtime_ns):
            raise NoSuchPlace(
                f"{path} is no longer the file that was printed; run nozzled resume-at with a copy of that file"
            )
        return job, entry

    def _require_no_print(self) -> None:
        jobs = self._front.jobs
        if jobs.active:
            name = jobs.selected.path if jobs.selected is not None else "a file"
            raise JobConflict(f"{name} is being printed")

    def _keep(self, offer: _Offer) -> str:
        token = secrets.token_urlsafe(12)
        self._offers[token] = offer
        if len(self._offers) > MOST:
            self._offers.popitem(last=False)
        return token

    # -- taking a proposal ---------------------------------------------------------------------------------

    async def write_rest(self, token: str) -> TreeEntry:
        """Return the rest of the file, by the proposal that somebody has said yes to; nothing is printed yet.

        Raises:
            JobConflict: a print is going on, or there was one since.
            NoSuchPlace: there is no such proposal any more, or the file has been changed.
            FileError: the rest cannot be written.
        """
        offer = self._offers.get(token)
        if offer is None or asyncio.get_running_loop().time() > offer.until:
            raise NoSuchPlace("this proposal has expired: ask for a new one, look at it, and confirm that")
        _, entry = await self._last(offer.job)
        if not _is(entry, offer.proposal.size, offer.proposal.mtime_ns):
            raise NoSuchPlace(f"{offer.path} has changed: ask again")
        async with self._turn:
            offer = self._offers.get(token, offer)  # somebody may have been faster with the same one
            if (rest := offer.rest) is None:
                rest = await self._write(offer)
                self._offers[token] = replace(offer, rest=rest)
        return rest

    def forget(self, token: str) -> None:
        """Take note that it is printed: nobody prints it twice."""
        self._offers.pop(token, None)

    async def _write(self, offer: _Offer) -> TreeEntry:
        wanted = PurePosixPath(_rest_of(offer.path, offer.proposal))
        for number in range(1, MOST_NAMES + 1):
            name = wanted.name if number == 1 else f"{wanted.stem}-{number}{wanted.suffix}"
            try:
                return await self._write_as(str(wanted.with_name(name)), offer)
            except FileExists:
                continue
        raise FileExists(f"{wanted} exists, and {MOST_NAMES - 1} others of its kind: delete some of them")

    async def _write_as(self, path: str, offer: _Offer) -> TreeEntry:
        files, proposal = self._front.files, offer.proposal
        head = proposal.head(PurePosixPath(offer.path).name)
        async with files.room.claim(path) as claim:
            claim.resize(len(head) + proposal.size - proposal.offset)
            async with files.upload(path, overwrite=False) as upload:
                await upload.write(head)
                async for block in _blocks(files.resolve(offer.path), proposal):
                    await upload.write(block)
                entry = await upload.commit()
            claim.kept = True
        return entry


async def _blocks(path: Path, proposal: Proposal) -> AsyncIterator[bytes]:
    """Yield the rest of a file; raises NoSuchPlace where it is not the one that was looked at."""
    left = proposal.size - proposal.offset
    try:
        file = await asyncio.to_thread(path.open, "rb")
        try:
            state = os.fstat(file.fileno())
            await asyncio.to_thread(file.seek, proposal.offset)
            while (state.st_size, state.st_mtime_ns) == (proposal.size, proposal.mtime_ns) and left:
                block = await asyncio.to_thread(file.read, min(_BLOCK, left))
                if not block:
                    break
                left -= len(block)
                yield block
                state = os.fstat(file.fileno())
        finally:
            await asyncio.to_thread(file.close)
    except OSError as error:
        raise translated(error, path.name) from error
    if left:
        raise NoSuchPlace(f"{path.name} has changed: ask again")


def _known_offset(job: dict[str, Any]) -> int:
    if not job["offset"]:
        raise NoSuchPlace(
            f"it is not known where {job['path']} has ended, as the printer has acknowledged no line of it: print the "
            "whole file, or name a layer"
        )
    return int(job["offset"])


def _is(entry: TreeEntry, size: int, mtime_ns: int) -> bool:
    """Tell whether a file is this one still; records of long ago know no date."""
    return entry.size == size and (not mtime_ns or entry.mtime_ns == mtime_ns)


def _rest_of(path: str, proposal: Proposal) -> str:
    """Return what the rest of a file is called; of a rest, too."""
    whole = PurePosixPath(path)
    where = f"line-{proposal.line}" if proposal.layer is None else f"layer-{proposal.layer}"
    return str(whole.with_name(f"{_REST.sub('', whole.stem)}-from-{where}{whole.suffix}"))
