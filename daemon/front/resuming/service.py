"""Resuming: proposals to resume the last print, and the file with the rest of it.

A proposal is for one place in one file, and confirming its token prints exactly from there. Only the last print can be
resumed: the part of any other print is no longer on the bed.
"""

import asyncio
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from daemon.errors import FileExists, JobConflict, NoSuchFile, NoSuchPlace
from daemon.front.resuming.place import LIFT, PRIME
from daemon.front.resuming.proposal import POWER_LOSS, Proposal, ResumeTarget, warnings
from daemon.front.resuming.worker import Find, find_in_child
from daemon.front.uploads.filenames import MAX_NAME, file_error
from daemon.front.uploads.tree import TreeEntry
from gcode.frozen import frozen

if TYPE_CHECKING:
    from daemon.front.front import Front

LIFETIME_S = 1800.0  # a proposal can be confirmed for this long
MAX_OFFERS = 8  # open proposals
MAX_NAMES = 99  # numbered names that the rest of one print may get
EXPIRED = "this proposal has expired: request a new one, check it, and confirm it"
RECORDS_TIMEOUT = 2.0  # s to wait for the latest records of the core

_BLOCK = 256 * 1024  # bytes
_COMPLETED = "completed"
_REST = re.compile(r"-from-(?:layer|line)-\d{1,9}(?:-\d{1,2})?\Z")


@frozen
class _Offer:
    """An open proposal.

    Attributes:
        path: of the uploaded file.
        job: the number of the print.
        proposal: the place.
        expires_at: by the loop's clock.
        rest: the file with the rest; None: not written yet.
    """

    path: str
    job: int
    proposal: Proposal
    expires_at: float
    rest: TreeEntry | None = None


class Resuming:
    """The open proposals. Tests replace `find`."""

    def __init__(self, front: "Front") -> None:
        self.find: Find = find_in_child
        self._front = front
        self._offers: OrderedDict[str, _Offer] = OrderedDict()
        self._lock = asyncio.Semaphore(1)  # one worker process at a time

    # -- proposing -----------------------------------------------------------------------------------------

    async def propose(self, target: ResumeTarget | None, number: int | None = None) -> dict[str, Any]:
        """Return a proposal to resume the last print, with the `token` that confirms it.

        Args:
            target: the place; None: the layer in which the print ended.
            number: the print that the client expects to be the last.

        Raises:
            JobConflict: that is not the last print, it has completed, or a print is in progress.
            NoSuchFile: its file has been deleted.
            NoSuchPlace: its file has changed, or the print cannot be resumed there.
        """
        front = self._front
        job, entry = await self._last(number)
        if target is None:
            target = ResumeTarget(offset=_ended_at(job))
        path = await asyncio.to_thread(front.files.resolve, entry.path)
        async with self._lock:
            proposal = await self.find(path, target, await front.analyses.printer())
        if not _is_same(entry, proposal.size, proposal.mtime_ns):
            raise NoSuchPlace(f"{entry.path} has changed: request a new proposal")
        token = self._add(_Offer(entry.path, job["id"], proposal, asyncio.get_running_loop().time() + LIFETIME_S))
        return {"token": token, **self._as_json(job, proposal), "file": _rest_name(entry.path, proposal)}

    def _as_json(self, job: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
        """Return what the user has to know before confirming."""
        names = ("id", "name", "path", "state", "ended", "reason", "lines", "offset", "filamentLength")
        end_layer = job["layersDone"]
        return {
            "expires": int(LIFETIME_S),
            "print": {**{name: job[name] for name in names}, "layer": end_layer or None},
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
            "warnings": warnings(proposal, self._front.config.scripts, end_layer),
            "hint": POWER_LOSS,
        }

    async def _last(self, number: int | None) -> tuple[dict[str, Any], TreeEntry]:
        """Return the last print and its file, if the print ended early and the file has not changed."""
        front = self._front
        self._require_no_print()
        await front.history.refresh(RECORDS_TIMEOUT)
        if (last := await front.history.last()) is None:
            raise JobConflict("nothing has been printed yet")
        job, mtime_ns = last
        path = job["path"]
        if number is not None and number != job["id"]:
            raise JobConflict(
                f"print {number} is not the last one: the part on the bed is that of print {job['id']} ({path})"
            )
        if job["ended"] is None:
            raise JobConflict(f"{path} is being printed")
        if job["state"] == _COMPLETED:
            raise JobConflict(f"the last print, {path}, has completed: there is nothing to resume")
        try:
            entry = await front.files.info(path)
        except NoSuchFile as error:
            raise NoSuchFile(f"{path} has been deleted: upload it again, and use nozzled resume-at FILE") from error
        if entry.type == "folder" or not _is_same(entry, job["size"], mtime_ns):
            raise NoSuchPlace(
                f"{path} is no longer the file that was printed: run nozzled resume-at with a copy of that file"
            )
        return job, entry

    def _require_no_print(self) -> None:
        jobs = self._front.jobs
        if jobs.active:
            name = jobs.selected.path if jobs.selected is not None else "a file"
            raise JobConflict(f"{name} is being printed")

    def _add(self, offer: _Offer) -> str:
        token = secrets.token_urlsafe(12)
        self._offers[token] = offer
        if len(self._offers) > MAX_OFFERS:
            self._offers.popitem(last=False)
        return token

    # -- carrying out a proposal ---------------------------------------------------------------------------

    async def write_rest(self, token: str) -> TreeEntry:
        """Write the rest of the file by a confirmed proposal, without printing it yet.

        Raises:
            JobConflict: a print is in progress, or there has been another print since the proposal.
            NoSuchPlace: the proposal has expired, or the file has changed.
            FileError: the rest cannot be written.
        """
        offer = self._offers.get(token)
        if offer is None or asyncio.get_running_loop().time() > offer.expires_at:
            raise NoSuchPlace(EXPIRED)
        _, entry = await self._last(offer.job)
        if not _is_same(entry, offer.proposal.size, offer.proposal.mtime_ns):
            raise NoSuchPlace(f"{offer.path} has changed: request a new proposal")
        async with self._lock:
            offer = self._offers.get(token, offer)  # another client may have confirmed the proposal meanwhile
            if (rest := offer.rest) is None or not await self._is_stored(rest):
                rest = await self._write(offer)
                self._offers[token] = replace(offer, rest=rest)
        return rest

    async def _is_stored(self, rest: TreeEntry) -> bool:
        """Tell whether a file that was written for an earlier confirmation is still there, and still the same."""
        with suppress(NoSuchFile):
            return _is_same(await self._front.files.info(rest.path), rest.size, rest.mtime_ns)
        return False

    async def require_last(self, token: str) -> None:
        """Check again that nothing has been printed since the proposal: writing and analysing may take minutes.

        Raises:
            JobConflict: a print is in progress, or there has been another print since the proposal.
            NoSuchPlace: another client's confirmation has begun the print, or newer proposals have replaced this one.
        """
        if (offer := self._offers.get(token)) is None:
            raise NoSuchPlace(EXPIRED)
        await self._last(offer.job)

    def forget(self, token: str) -> None:
        """Drop a proposal that is being printed, so that it is not printed twice."""
        self._offers.pop(token, None)

    async def _write(self, offer: _Offer) -> TreeEntry:
        path = PurePosixPath(_rest_name(offer.path, offer.proposal))
        for number in range(1, MAX_NAMES + 1):
            name = path.name if number == 1 else f"{path.stem}-{number}{path.suffix}"
            try:
                return await self._write_as(str(path.with_name(name)), offer)
            except FileExists:
                continue
        raise FileExists(f"{path} and {MAX_NAMES - 1} numbered ones exist: delete some of them")

    async def _write_as(self, path: str, offer: _Offer) -> TreeEntry:
        files, proposal = self._front.files, offer.proposal
        head = proposal.head(PurePosixPath(offer.path).name)
        whole = await asyncio.to_thread(files.resolve, offer.path)
        async with files.room.claim(path) as claim:
            claim.resize(len(head) + proposal.size - proposal.offset)
            async with files.upload(path, overwrite=False) as upload:
                await upload.write(head)
                async for block in _blocks(whole, proposal):
                    await upload.write(block)
                entry = await upload.commit()
            claim.is_stored = True
        return entry


async def _blocks(path: Path, proposal: Proposal) -> AsyncIterator[bytes]:
    """Yield the rest of a file; raises NoSuchPlace if it has changed since the proposal."""
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
        raise file_error(error, path.name) from error
    if left:
        raise NoSuchPlace(f"{path.name} has changed: request a new proposal")


def _ended_at(job: dict[str, Any]) -> int:
    if not job["offset"]:
        raise NoSuchPlace(
            f"it is unknown where the print of {job['path']} ended, as the printer acknowledged none of its lines: "
            "print the whole file, or name a layer"
        )
    return int(job["offset"])


def _is_same(entry: TreeEntry, size: int, mtime_ns: int) -> bool:
    """Tell whether a file has not changed; old records have no date (0)."""
    return entry.size == size and (not mtime_ns or entry.mtime_ns == mtime_ns)


def _rest_name(path: str, proposal: Proposal) -> str:
    """Return the name of the rest of a file, which may itself be a rest. A name that would be too long is cut."""
    whole = PurePosixPath(path)
    where = f"line-{proposal.line}" if proposal.layer is None else f"layer-{proposal.layer}"
    end = f"-from-{where}{whole.suffix}"
    room = MAX_NAME - len(end.encode()) - len(f"-{MAX_NAMES}")
    stem = _REST.sub("", whole.stem).encode()[:room].decode(errors="ignore")
    return str(whole.with_name(f"{stem}{end}"))
